"""What the child of test_ranks_that_fail.py does: one of two ranks dies, fails, or hangs.

Arguments: model folder, rows, scratch folder. Prints one JSON line.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.training.forked import Ended, ranks, report

model, rows, scratch = sys.argv[1], sys.argv[2], Path(sys.argv[3])
os.environ["TGDPO_STORE"] = str(scratch / "store")
TIMEOUT = 8  # seconds of ddp_timeout in the run that hangs
PLUGIN = scratch / "faulty.py"
PLUGIN.write_text(
    """
import os, time
from tgdpo_core import TokenReward, hookimpl

class Faulty(TokenReward):
    "A reward of every step, which fails when the environment says so."
    dynamic = True
    def score(self, batch):
        fault = os.environ.get("FAULT")
        if fault == "raise":
            raise ValueError("no answer")
        if fault == "hang":
            wait_for_ever()
        return [[1.0] * len(item.response_ids) for item in batch]

def wait_for_ever():
    time.sleep(1000)

@hookimpl
def register_token_rewards(register):
    register("faulty", Faulty)
"""
)
TRAIN = [
    *("--plugin-file", str(PLUGIN), "train", "--model", model, "--dataset", rows),
    *(
        "--reward-plugin",
        "faulty",
        "--set",
        "training.max_steps=4",
        "--set",
        "training.save_steps=2",
    ),
    *("--set", "training.logging_steps=1", "--set", "training.learning_rate=1e-3"),
    *("--set", "training.per_device_train_batch_size=2", "--set", "training.use_cpu=true"),
]


def run(name: str, *more: str, fault: str = "") -> list[Ended]:
    """Train with two ranks; the fault comes to rank 1 when its third step begins."""
    output = scratch / f"{name}.out"
    output.mkdir(exist_ok=True)
    command = [*TRAIN, "--output-dir", str(scratch / name), *more]
    return ranks(command, output, lambda: come(fault))


def come(fault: str) -> None:
    """Arrange that a fault comes; a rank that hangs ends itself soon after the others."""
    from tgdpo_core.training.durability import hang_watch

    begin, steps = hang_watch.HangWatch.on_step_begin, []

    def on_step_begin(self: Any, *args: Any, **kwargs: Any) -> None:
        steps.append(1)
        if os.environ["RANK"] == "1" and len(steps) == 3:
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            os.environ["FAULT"] = fault
        begin(self, *args, **kwargs)

    hang_watch.HangWatch.on_step_begin = on_step_begin  # type: ignore[method-assign]
    hang_watch._GRACE_SECONDS = 3.0


def told(ended: list[Ended]) -> list[Any]:
    return [[each.code, each.said] for each in ended]


found: dict[str, Any] = {"whole": told(run("whole"))}
for name in ("kill", "raise"):
    found[name] = told(run(name, fault=name))
found["resumed"] = told(run("raise", "--resume"))
began = time.monotonic()
limit = f"training.ddp_timeout={TIMEOUT}"
found["hang"] = told(run("hang", "--set", limit, fault="hang"))
found["seconds"] = time.monotonic() - began
report(found)
