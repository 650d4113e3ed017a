"""R5, R6, and K4, K11 on one process of two: all processes stop together and say why."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("two_ranks.py")
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def runs(model_folder: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the runs of two processes, and what each of them saw."""
    output = tmp_path_factory.mktemp("two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-port", str(20_000 + (os.getpid() + 7) % 20_000)]
    env = {**os.environ, "TGDPO_STORE": str(output / "store"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(model_folder), str(rows_file), str(output)],
        env={**env, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rank"')]
    found = [item["found"] for item in sorted(seen, key=lambda item: item["rank"])]
    (output / "found.json").write_text(json.dumps(found))
    return output


@pytest.fixture(scope="module")
def found(runs: Path) -> list[Any]:
    """What process 0 and process 1 saw, case by case."""
    both: list[Any] = json.loads((runs / "found.json").read_text())
    return both


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("seed", r"seed +5 +6"),
        ("reward", r"reward\.0\.options\.seed +1 +2"),
        ("data", r"data\.content +\w+ +\w+"),
        ("plugin", r"reward\.0\.\w+ +\S+ +\S+"),
        ("store", "Process 1: .*store-1 is not the folder that process 0 uses"),
    ],
)
def test_R5_R6_processes_that_disagree_stop_before_anything_is_computed(
    case: str, message: str, found: list[Any]
) -> None:
    import re

    for of_rank in found:
        name, code, text = of_rank[case]
        assert (name, code) == ("UsageError", 2)
        assert re.search(message, text), text


@pytest.mark.parametrize("case", ["loss", "gradient"])
def test_K11_a_bad_number_on_one_process_stops_all_before_the_update(
    case: str, found: list[Any], runs: Path
) -> None:
    for of_rank in found:
        assert of_rank[case][:2] == ["NumericError", 6]
    assert found[0][case][2] == found[1][case][2], "the same cause is told by both"
    kept = {path.name for path in (runs / case / "failure" / "step-3").glob("*.json")}
    assert kept == {"rank-0.json", "rank-1.json"}


def test_K4_a_signal_to_one_process_of_two_saves_and_resumes_exactly(
    found: list[Any], runs: Path, require_equal: Callable[[Path, Path], None]
) -> None:
    assert [of_rank["whole"] for of_rank in found] == ["done", "done"]
    assert [of_rank["signal"][:2] for of_rank in found] == [["Preempted", 75]] * 2
    assert [of_rank["resumed"] for of_rank in found] == ["done", "done"]
    require_equal(runs / "signal", runs / "whole")
