"""The benchmark of a training step runs, on a model small enough for a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.checkout
def test_peers_are_measured_side_by_side(tmp_path: Path) -> None:
    output = tmp_path / "peers.json"
    command = [sys.executable, "-m", "benchmarks.peers", "--data", "12:6", "--shape", "test"]
    command += ["--vocab", "40000", "--rounds", "1", "--pairs", "4", "--threads", "1"]
    command += ["--method", "official mb4", "--method", "ours shared", "--method", "ours packed"]
    command += ["--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    runs = {run["method"]: run for run in json.loads(output.read_text())["runs"]}
    assert set(runs) == {"official mb4", "ours shared", "ours packed"}
    assert all(run["cpu_seconds_per_pair"] > 0 for run in runs.values())
    # Tokens are counted, not timed: sharing computes fewer than packing, packing than padding.
    tokens = [runs[m]["tokens_per_pair"] for m in ("ours shared", "ours packed", "official mb4")]
    assert tokens == sorted(tokens)
    assert tokens[0] < tokens[1]
