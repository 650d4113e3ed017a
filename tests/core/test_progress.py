"""Bars on a screen of 80 columns, lines of a log where there is no screen."""

import io
import re
from typing import Any

import pytest

from tgdpo_core import progress
from tgdpo_core.progress import StageBar, stage


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is shown, however short it is."""
    monkeypatch.setattr(progress, "_DELAY", 0)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)


def test_without_a_screen_there_are_whole_lines_with_share_and_time_left(at_once: None) -> None:
    stream = io.StringIO()
    with StageBar(total=4, desc="scoring", unit="pair", file=stream) as bar:
        for _ in range(4):
            bar.update()
    text = stream.getvalue()
    assert "\r" not in text
    lines = text.splitlines()
    assert all(lines)
    assert re.fullmatch(r"scoring: +50% 2/4 \[\d\d:\d\d<\d\d:\d\d, .*pair/s\]", lines[2]), lines
    assert lines[-1].startswith("scoring: 100% 4/4")


@pytest.mark.parametrize("stream", [io.StringIO(), Screen()])
def test_a_short_stage_shows_nothing(stream: Any) -> None:
    with StageBar(total=4, desc="scoring", unit="pair", file=stream) as bar:
        for _ in range(4):
            bar.update()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("desc", "postfix"),
    [
        ("training", {"loss": "0.693", "acc": "0.812"}),
        ("evaluation: reference log-probs", {}),
        ("checking preferences-of-2025.jsonl", {}),
    ],
)
def test_at_80_columns_a_bar_is_left(desc: str, postfix: dict[str, str], at_once: None) -> None:
    bar = StageBar(
        total=40000, desc=desc, unit="pair", file=Screen(), dynamic_ncols=False, ncols=80
    )
    bar.set_postfix(postfix, refresh=False)
    shown = bar.format_meter(**{**bar.format_dict, "n": 12345, "elapsed": 345.0, "rate": 35.8})
    bar.close()
    assert len(shown) <= 80
    between = re.search(r"\|(.*)\|", shown)
    assert between
    assert len(between[1]) >= 10, shown
    assert all(value in shown for value in ("12345/40000", "left", *postfix.values()))


def test_in_a_log_values_wait_for_the_next_line() -> None:
    stream = io.StringIO()
    with StageBar(total=40, desc="training", unit="step", file=stream, delay=0) as bar:
        shown = stream.getvalue()
        for step in range(20):
            bar.update()
            bar.set_postfix(loss=f"{step}")
        assert stream.getvalue() == shown


def test_a_total_that_is_known_late_is_shown_and_ends_a_short_stage_in_silence() -> None:
    stream = Screen()
    with StageBar(desc="judge", unit="answer", file=stream, dynamic_ncols=False, ncols=80) as bar:
        bar.expect(8)
        bar.update(4)
        assert " 50%|" in bar.format_meter(**bar.format_dict)
    assert stream.getvalue() == ""


def test_other_processes_of_a_run_show_nothing(
    at_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    with stage("scoring", 2, "pair") as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_a_line_about_a_stage_is_one_line(
    at_once: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage("scoring", 2, "pair") as bar:
        bar.update()
        before = capsys.readouterr().err
        progress.say("tokenized in 3 s")
        assert capsys.readouterr().err == "tokenized in 3 s\n"
        assert before
