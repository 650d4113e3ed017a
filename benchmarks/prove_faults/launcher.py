"""Signals to ``torchrun`` and to one of its two processes: the run is saved and goes on exactly."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.prove_faults.killing import forked_ranks
from benchmarks.prove_faults.runs import arguments_of, outcome
from benchmarks.prove_faults.saves import Count, Say

_PATIENCE_SECONDS = 240
_PLUGIN = """
import os, time
from tgdpo_core import TokenReward, hookimpl

class Slow(TokenReward):
    "A reward of every step that takes as long as the environment says."
    dynamic = True
    def score(self, batch):
        time.sleep(float(os.environ.get("PROOF_SECONDS", "0")))
        return [[0.1 * t for t in range(len(item.response_ids))] for item in batch]

@hookimpl
def register_token_rewards(register):
    register("slow", Slow)
"""
_CASES = (
    ("SIGTERM", "launcher"),
    ("SIGINT", "launcher"),
    ("SIGTERM", "rank 1"),
)


def stopped_by_signals(root: Path, say: Say) -> Count:
    """Send signals to a launched run of two processes, in the middle of it."""
    plugin = root / "slow.py"
    plugin.write_text(_PLUGIN)

    def command(folder: Path, resume: bool) -> list[str]:
        half = "per_device_train_batch_size=2"
        train = arguments_of(folder, root / "rows.jsonl", resume, half, reward="slow")
        return ["--plugin-file", str(plugin), *train]

    def in_forks(folder: Path, resume: bool) -> list[int]:
        from tgdpo_cli.main import main

        return forked_ranks([lambda: main(command(folder, resume))] * 2)

    whole, folder = root / "whole-launched", root / "launched"
    if any(in_forks(whole, False)):
        raise SystemExit("The run of two ranks that nothing happens to has failed.")
    expected = outcome(whole)
    exact = 0
    for name, to in _CASES:
        shutil.rmtree(folder, ignore_errors=True)
        code = _launched(command(folder, False), folder, name, to)
        record = json.loads((folder / "run.json").read_text())
        resumed = in_forks(folder, True)
        told = (record["status"], record["exit_code"]) == ("preempted", 75)
        same = told and resumed == [0, 0] and outcome(folder) == expected
        exact += same
        say(
            f"{name + ' to ' + to:40s} torchrun {code} run.json {record['status']} "
            f"{record['exit_code']} resume {resumed} exact {same}"
        )
    return Count(exact, len(_CASES))


def _launched(command: list[str], folder: Path, name: str, to: str) -> int:
    """Run a command under torchrun, send a signal after its first save; return torchrun's code."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-port", str(20_000 + os.getpid() % 20_000), "-m", "tgdpo_cli.main"]
    process = subprocess.Popen(
        [*launcher, *command],
        env={**os.environ, "PROOF_SECONDS": "0.4", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # signals go to the one process alone
    )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (folder / "checkpoints" / "checkpoint-2").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid if to == "launcher" else int(children[1]), getattr(signal, name))
    return process.wait(_PATIENCE_SECONDS)
