"""The real-model world on one card: the grid of `smol-mood`, as far as the time goes.

    python -m benchmarks.gpu --world --model smollm2 --output gpu --seconds 1500

What is done stays done: the same command goes on. The tables are those of the ablation, in
``OUTPUT/world``; ``OUTPUT/world.jsonl`` has a line for each call.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_GRACE = 60  # seconds in which a stopped ablation keeps what it has


def run(
    model: Path, output: Path, device: str, *, jobs: int, seconds: int, small: bool
) -> dict[str, Any]:
    """Run the grid until it is done or the time is over; return what this call did.

    Args:
        model: folder of the chat model.
        output: of the kit.
        device: ``cuda`` or ``cpu``.
        jobs: runs at a time on the one card.
        seconds: when to stop.
        small: the quick form.
    """
    folder = output / "world"
    before, started = finished_runs(folder), time.monotonic()
    with (output / "world.log").open("a") as log:
        process = subprocess.Popen(
            command(model, folder, device, jobs=jobs, small=small), stdout=log, stderr=log
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                code = process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    done = finished_runs(folder)
    facts = {
        "model": model.name,
        "jobs": jobs,
        "runs": done,
        "of": planned_runs(folder),
        "runs_of_this_call": done - before,
        "seconds": round(time.monotonic() - started, 1),
        "exit": code,
    }
    with (output / "world.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")
    return facts


def command(model: Path, folder: Path, device: str, *, jobs: int, small: bool) -> list[str]:
    """Return the shipped ablation's command, on the device."""
    on_cpu = str(device == "cpu").lower()
    return [
        *(sys.executable, "-m", "tgdpo_cli.main", "ablate", "--config", "smol-mood"),
        *(["--quick"] if small else []),
        *("--set", f"model.name_or_path={model}", "--set", f"training.use_cpu={on_cpu}"),
        *("--jobs", str(jobs), "--output-dir", str(folder)),
    ]


def finished_runs(folder: Path) -> int:
    """Return how many runs of the grid are done."""
    records = [json.loads(p.read_text()) for p in folder.glob("cells/*/seed-*/run.json")]
    return sum(record.get("status") == "done" for record in records)


def planned_runs(folder: Path) -> int:
    """Return how many runs the grid has; 0 where the ablation did not get that far."""
    cells = folder / "cells.json"
    return len(json.loads(cells.read_text())) if cells.exists() else 0
