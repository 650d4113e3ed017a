"""What a run leaves to look at, and that no failure of it costs a run."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOTrainer
from tgdpo_core.training import pictures

Make = Callable[..., TGDPOTrainer]


def folder_of(trainer: TGDPOTrainer) -> Path:
    return Path(str(trainer.args.output_dir))


def record(trainer: TGDPOTrainer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder_of(trainer) / "run.json").read_text())
    return found


def test_a_run_that_is_done_has_its_page_and_plots(make_trainer: Make) -> None:
    trainer = make_trainer(token_reward="random")
    trainer.train()
    folder = folder_of(trainer)
    assert record(trainer)["report"] == {"written": True}
    html = (folder / "report.html").read_text()
    assert "<h3>Loss</h3>" in html
    assert "<b>run</b>: done" in html
    assert {"loss.svg", "margins.svg", "tokens.json"} <= {
        path.name for path in (folder / "plots").iterdir()
    }


def test_the_worst_pairs_are_those_with_the_lowest_margins_of_the_last_epoch(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}
    add = pictures.Pictures.add

    def noted(self: Any, pairs: Any, metrics: Any) -> None:
        margins = (metrics[:, pictures._CHOSEN] - metrics[:, pictures._REJECTED]).tolist()
        seen.update(zip((pair.pair.pair.where for pair in pairs), margins, strict=True))
        add(self, pairs, metrics)

    monkeypatch.setattr(pictures.Pictures, "add", noted)
    trainer = make_trainer(num_train_epochs=2)
    trainer.train()
    sheet = json.loads((folder_of(trainer) / "plots" / "tokens.json").read_text())
    worst, best = sheet["groups"][:2]
    in_order = sorted(seen, key=lambda where: seen[where])
    assert [pair["where"] for pair in worst["pairs"]] == in_order[:4]
    assert [pair["where"] for pair in best["pairs"]] == in_order[::-1][:4]
    assert "among 12 pairs" in worst["of"]


def test_distributions_are_there_while_a_run_goes_on(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(token_reward="random")

    def stopped(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_train_and_save", stopped)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    sheet = json.loads((folder_of(trainer) / "plots" / "tokens.json").read_text())
    assert [each["name"] for each in sheet["distributions"]] == ["random", "weight"]
    assert sum(sheet["distributions"][0]["chosen"]) > 0


def test_a_report_that_fails_is_a_line_and_the_run_is_done(
    make_trainer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any) -> None:
        raise ZeroDivisionError("no such chart")

    monkeypatch.setattr(pictures, "run_page", fails)
    trainer = make_trainer()
    with caplog.at_level(logging.WARNING):
        trainer.train()
    found = record(trainer)
    assert (found["status"], found["exit_code"]) == ("done", 0)
    assert found["report"] == {"written": False, "error": "ZeroDivisionError: no such chart"}
    said = [r.getMessage() for r in caplog.records if "report was not written" in r.getMessage()]
    assert len(said) == 1


def test_it_can_be_switched_off(make_trainer: Make) -> None:
    trainer = make_trainer(write_report=False)
    trainer.train()
    names = {path.name for path in folder_of(trainer).iterdir()}
    assert not {"plots", "report.html"} & names
    assert "report" not in record(trainer)
