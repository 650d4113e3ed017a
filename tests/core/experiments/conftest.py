"""Ablation folders as ``tgdpo ablate`` leaves them, with made-up logs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


class Ablation:
    """Writes the folder of an ablation, run by run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells: list[dict[str, Any]] = []
        folder.mkdir()
        (folder / "ablation.yaml").write_text("seeds: 2\n")
        self._write_cells()

    def add(self, name: str, seed: int = 0, **facts: Any) -> Path:
        """Add a run to cells.json and return its folder, which is not made."""
        cell = {
            "name": name,
            "variant": name.partition(",")[0],
            "settings": {"reward": "none", "beta": 0.1},
            "seed": seed,
            "folder": f"cells/{len(self.cells)}/seed-{seed}",
            "control": False,
            "baseline": "dpo",
            **facts,
        }
        self.cells.append(cell)
        self._write_cells()
        return self.folder / cell["folder"]

    def done(self, name: str, rows: Sequence[dict[str, Any]], seed: int = 0, **facts: Any) -> Path:
        """Add a finished run with its log rows."""
        run = self.add(name, seed, **facts)
        (run / "logs").mkdir(parents=True)
        record = {"status": "done", "versions": {"tgdpo": "0.1.0"}}
        (run / "run.json").write_text(json.dumps(record))
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run / "logs" / "train.jsonl").write_text(lines)
        return run

    def judged(
        self,
        name: str,
        scores: Sequence[float],
        seed: int = 0,
        *,
        kl: Sequence[float] = (),
        trained: dict[str, float] | None = None,
        **facts: Any,
    ) -> Path:
        """Add a finished run of ten steps an epoch, judged before training and at epoch ends."""
        rows: list[dict[str, Any]] = []
        for epoch, score in enumerate(scores):
            at = {"step": 10 * epoch, "epoch": float(epoch)}
            if epoch:
                rows.append(at | {"loss": 0.6 / epoch, "tokens_per_second": 9.0} | (trained or {}))
            rows.append(at | {"judge/sampled": score} | ({"judge/kl": kl[epoch]} if kl else {}))
        return self.done(name, rows, seed, **facts)

    def _write_cells(self) -> None:
        (self.folder / "cells.json").write_text(json.dumps(self.cells))


@pytest.fixture
def ablation(tmp_path: Path) -> Ablation:
    """An ablation folder without runs."""
    return Ablation(tmp_path / "ablation")
