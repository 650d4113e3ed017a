"""``tgdpo report``: run folders, where the page goes, what is refused."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli
from tgdpo_core.errors import UsageError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "dpo"
    (folder / "logs").mkdir(parents=True)
    (folder / "run.json").write_text('{"status": "done"}')
    (folder / "logs" / "train.jsonl").write_text('{"step": 1, "epoch": 1, "loss": 0.5}\n')
    return folder


def report(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


def test_the_page_of_one_run_lies_in_its_folder_with_its_plots(run: Path) -> None:
    result = report(run)
    assert result.exit_code == 0, result.output
    assert "<h3>Loss</h3>" in (run / "report.html").read_text()
    assert (run / "plots" / "loss.svg").read_text().startswith("<svg")
    assert "dpo: done, 1 log rows" in result.stdout
    assert "There is no config.yaml" in result.stdout


def test_the_page_of_several_lies_here_and_is_written_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "tgdpo"
    run.joinpath("logs").rename(tmp_path / "kept")
    (other / "logs").mkdir(parents=True)
    (tmp_path / "kept" / "train.jsonl").rename(other / "logs" / "train.jsonl")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert report(run, other).exit_code == 0
    assert "2 runs" in (tmp_path / "runs.html").read_text()
    assert not (run / "report.html").exists()


def test_a_foreign_file_is_not_overwritten_unasked(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "b"
    other.mkdir()
    (other / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.html").write_text("mine")
    result = report(run, other)
    assert isinstance(result.exception, UsageError)
    assert (tmp_path / "runs.html").read_text() == "mine"
    assert report(run, other, "--output", "runs.html").exit_code == 0


def test_json_says_what_the_page_says_and_writes_nothing(run: Path) -> None:
    result = report(run, "--json")
    said = json.loads(result.stdout)
    assert said["runs"][0]["last"] == {"loss": 0.5}
    assert said["missing"]
    assert not (run / "report.html").exists()
    written = report(run, "--json", "--output", run / "mine.html")
    assert json.loads(written.stdout) == {**said, "file": str(run / "mine.html")}
    assert "<h3>Loss</h3>" in (run / "mine.html").read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    result = report(tmp_path)
    assert isinstance(result.exception, UsageError)
    assert "holds neither run.json nor logs/train.jsonl" in str(result.exception)


def test_an_ablation_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text("[]")
    result = report(tmp_path)
    assert "cells/*/seed-*" in str(result.exception)


def test_a_run_named_twice_is_refused(run: Path) -> None:
    assert "is named twice" in str(report(run, run / ".").exception)


def test_a_page_that_cannot_be_written_is_a_usage_error(run: Path) -> None:
    result = report(run, "--output", run / "run.json" / "page.html")
    assert isinstance(result.exception, UsageError)
    assert "cannot be written" in str(result.exception)
