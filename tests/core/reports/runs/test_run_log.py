"""Logs of runs that go on, were killed, or logged what is no number."""

import json
import math
from pathlib import Path

import pytest

from tgdpo_core.reports.runs.log import read_log


def write(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return path


def row(step: int, **values: object) -> str:
    return json.dumps({"step": step, "epoch": step / 10, **values})


def test_columns_are_series_in_the_order_of_steps(tmp_path: Path) -> None:
    log = read_log(write(tmp_path, row(1, loss=0.7), row(2, loss=0.6, eval_loss=0.5)))
    assert log.series["loss"].values.tolist() == [0.7, 0.6]
    assert log.series["eval_loss"].steps.tolist() == [2]
    assert log.series["loss"].epochs.tolist() == [0.1, 0.2]
    assert (log.num_rows, log.last_step, log.notes) == (2, 2, [])


def test_a_last_line_that_is_cut_off_is_left_out_and_said(tmp_path: Path) -> None:
    log = read_log(write(tmp_path, row(1, loss=0.7), row(2, loss=0.6)[:20], end=""))
    assert log.series["loss"].values.tolist() == [0.7]
    assert log.notes == ["The last line of the log (line 2) is cut off and left out."]


@pytest.mark.parametrize(
    "line",
    ["garbage", "[1, 2]", "3", "null", '{"loss": 1}', '{"step": "x"}', '{"step": NaN}', "[" * 9000],
)
def test_lines_that_are_no_rows_are_left_out_and_said(tmp_path: Path, line: str) -> None:
    log = read_log(write(tmp_path, row(1, loss=0.7), line, row(3, loss=0.5)))
    assert log.series["loss"].steps.tolist() == [1, 3]
    assert log.notes == ["Lines of the log that are no log rows are left out: 2."]


def test_values_that_are_no_numbers_stay_and_are_said(tmp_path: Path) -> None:
    lines = (row(1, loss=0.7), row(2, loss=math.nan), row(3, loss=math.inf), row(4, loss=None))
    log = read_log(write(tmp_path, *lines))
    assert [math.isfinite(v) for v in log.series["loss"].values] == [True, False, False, False]
    assert log.notes == ["loss: no finite number in 3 of 4 rows, first at step 2."]


def test_text_and_truth_values_are_no_curves(tmp_path: Path) -> None:
    log = read_log(write(tmp_path, row(1, loss=0.7, name="x", flag=True, nested={"a": 1})))
    assert set(log.series) == {"loss"}


def test_of_a_step_that_was_logged_again_the_last_row_counts(tmp_path: Path) -> None:
    log = read_log(write(tmp_path, row(1, loss=0.7), row(2, loss=0.9), row(2, loss=0.6)))
    assert log.series["loss"].values.tolist() == [0.7, 0.6]
    assert log.notes == ["1 steps were logged more than once; the last row of a step counts."]


def test_no_file_and_an_empty_one_are_said(tmp_path: Path) -> None:
    assert "nothing was logged (yet)" in read_log(tmp_path / "train.jsonl").notes[0]
    assert read_log(write(tmp_path, end="")).notes == ["No curves: the log holds no row yet."]


def test_bytes_that_are_no_text_cost_their_line_only(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(row(1, loss=0.7).encode() + b"\n\xff\xfe\x00\n" + row(2, loss=0.6).encode())
    assert read_log(path).series["loss"].values.tolist() == [0.7, 0.6]
