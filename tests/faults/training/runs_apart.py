"""Runs that must have a process of their own: a module makes them and prints what they did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


def outcomes_of(module: str, *folders: Path) -> dict[str, Any]:
    """Return the JSON that a module of this package prints last, given some paths."""
    command = [sys.executable, "-m", f"tests.faults.training.{module}"]
    done = subprocess.run(
        [*command, *map(str, folders)],
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
