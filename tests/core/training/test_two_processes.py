"""Two processes with the same global batch train the same model as one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_process_run.py")
_TIMES = ("runtime", "per_second", "memory", "total_flos")


@pytest.fixture(scope="module")
def uneven_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of uneven lengths, so that processes have different numbers of rows; the last batch of
    the epoch holds three, so that one process has one pair and one that fills its batch."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {
            "prompt": f"Question {i}: what is {i} plus {i % 7}?"
            + " Look at the dog." * (i % 6)
            + "\n",
            "chosen": f"It is {i + i % 7}." + " Two plus two is four." * (i % 9),
            "rejected": f"It is {i + i % 7 + 1}, and the cat sat." + "." * (i % 3 + 1),
        }
        for i in range(43)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(command: list[str], model: Path, rows: Path, output: Path, batch_size: int) -> None:
    arguments = [str(SCRIPT), str(model), str(rows), str(output), str(batch_size)]
    env = {**os.environ, "TGDPO_STORE": str(output / "store"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


def log_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_train_the_same_model_as_one(
    tmp_path: Path, model_folder: Path, uneven_rows: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run([sys.executable], model_folder, uneven_rows, one, batch_size=4)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-port", str(20_000 + os.getpid() % 20_000)]
    run(torchrun, model_folder, uneven_rows, two, batch_size=2)

    assert sum("judge/pairs" in row for row in log_rows(two)) == 2  # before and after the epoch
    for a, b in zip(log_rows(one), log_rows(two), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if not any(word in name for word in _TIMES):
                assert b[name] == pytest.approx(a[name], abs=1e-5, rel=1e-5), name
    weights, others = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert (weight - others[name]).abs().max() <= 1e-4, name
    # The work of the scoring pass was shared, and nothing was computed twice (the evaluation pairs
    # are among the 43).
    record = json.loads((two / "run.json").read_text())
    assert record["store"]["computed"] == 2 * 43
