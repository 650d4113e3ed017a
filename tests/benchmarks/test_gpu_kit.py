"""The kit for a card: its parts run on a CPU, on tiny models, and are in its report."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.gpu import __main__ as kit
from benchmarks.gpu import report, workloads

pytestmark = pytest.mark.checkout


def results(part: str) -> list[dict[str, Any]]:
    measure, _ = kit._parts()[part]
    return list(measure("cpu", small=True))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("part", ["machine", "launches", "soft-caps", "scoring", "product"])
def test_a_part_runs_and_has_no_error(part: str) -> None:
    found = results(part)
    assert found
    assert not [row for row in found if "error" in row]


def test_every_family_is_as_exact_as_the_plain_model() -> None:
    found = results("kernels")
    assert not [row for row in found if "error" in row]
    assert {row["layout"] for row in found} == {"share"}
    whole = [row for row in found if row["precision"] == "float32"]
    assert len(whole) >= 10
    assert max(row["logps_rms"] for row in whole) <= 1e-5
    assert max(row["gradient"] for row in whole) <= 1e-4


def test_a_part_that_is_over_is_in_the_report(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--small", "--part", "machine", "--output", str(tmp_path)]
    done = CliRunner().invoke(kit.main, arguments)
    assert done.exit_code == 0, done.output
    (row,) = [json.loads(line) for line in (tmp_path / "machine.jsonl").read_text().splitlines()]
    assert f"- torch: {row['torch']}" in (tmp_path / "report.md").read_text()


def test_an_error_of_one_method_stands_in_its_row(tmp_path: Path) -> None:
    (tmp_path / "steps-8B-hh.jsonl").write_text(
        '{"method": "ours", "mfu": 0.4}\n{"method": "other", "error": "does not fit"}\n'
    )
    text = report.markdown(tmp_path)
    assert "| ours | 0.4 |  |" in text
    assert "| other |  | does not fit |" in text


def test_pairs_have_the_lengths_of_real_ones() -> None:
    pairs = workloads.pairs("hh", 600, 1000)
    mean = sum(pair.shared_length for pair in pairs) / len(pairs)
    assert 180 < mean < 240
    assert len({tuple(pair.prompt) for pair in pairs}) > 500
