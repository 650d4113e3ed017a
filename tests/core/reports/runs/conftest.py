"""Run folders made by hand."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.reports.distribution import Distribution
from tgdpo_core.reports.runs.tokens import TokenSheet, group, sheet_text
from tgdpo_core.scoring.pairs import ScoredPair

CONFIG = "model: {{name_or_path: m}}\nreward:\n- {{plugin: {reward}}}\nloss: {{beta: {beta}}}\n"
SIGN = {"code": "sign-flips", "message": "sign flips: 2 % of the weights"}


def _rows(number: int, **more: Any) -> list[dict[str, Any]]:
    names = ("loss", "rewards/margins", "weighted/margins", "rewards/accuracies")
    return [
        {"step": i + 1, "epoch": (i + 1) / 4, **dict.fromkeys(names, 0.1 * i), **more}
        for i in range(number)
    ]


@pytest.fixture
def make_run(tmp_path: Path, scored_pair: Callable[..., ScoredPair]) -> Callable[..., Path]:
    """Writes a run folder; names and texts of its parts may be given."""

    def make(
        name: str = "run",
        *,
        rows: Sequence[dict[str, Any]] | None = None,
        reward: str = "mine",
        beta: float = 0.1,
        status: str = "done",
        text: str = "a token",
        with_tokens: bool = True,
    ) -> Path:
        folder = tmp_path / name
        (folder / "logs").mkdir(parents=True)
        (folder / "plots").mkdir()
        record = {
            "status": status,
            "started": "2026-01-02T03:04:05+00:00",
            "reward_sources": [{"name": reward}],
            "diagnostics": {"warnings": [SIGN]},
            "fingerprints": {"data": "abc"},
        }
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "config.yaml").write_text(CONFIG.format(reward=json.dumps(reward), beta=beta))
        lines = (json.dumps(row) for row in (_rows(4) if rows is None else rows))
        (folder / "logs" / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
        if with_tokens:
            pair = scored_pair(
                [1.0, 0.0], [-1.0, 0.5], tokens=([text, ""], ["no", text]), prompt=text, where=text
            )
            sheet = TokenSheet(
                num_pairs=12,
                num_trained=12,
                distributions=[Distribution(text, -1.0, 1.0, [1, 0, 2], [0, 3, 0], 0, 1)],
                groups=[group("The worst", "Of 12.", [(pair, "margin 1")], lambda _: text)],
            )
            (folder / "plots" / "tokens.json").write_text(sheet_text(sheet))
        return folder

    return make


@pytest.fixture
def rows() -> Callable[..., list[dict[str, Any]]]:
    """Log rows of a number of steps, with further values."""
    return _rows
