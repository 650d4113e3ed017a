"""Commands that stand for the work of a task; run as a script, two workers that wait."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path

from tgdpo_core.experiments.executors import LocalExecutor
from tgdpo_core.experiments.tasks import Preparation
from tgdpo_core.experiments.work import Settings

_PATIENCE_SECONDS = 60


def run(arguments: Sequence[str], plugin_files: Sequence[str]) -> int:
    """Do what the first argument says with the paths behind it."""
    verb, *paths = arguments
    if verb == "note":  # what kind of process this is
        facts = {
            "pid": os.getpid(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "torch": "torch" in sys.modules,
            "plugin_files": list(plugin_files),
        }
        Path(paths[0]).write_text(json.dumps(facts))
        return _wait_for(paths[1:])
    if verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "say":
        print("from Python")
        print("on stderr", file=sys.stderr)
        subprocess.run(["echo", "from a child"], check=True)
        return int(paths[0])
    raise ValueError(f"no such command: {verb}")


def _wait_for(paths: Sequence[str]) -> int:
    """Return 0 as soon as all files exist."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not all(Path(path).exists() for path in paths):
        if time.monotonic() > end:
            return 1
        time.sleep(0.01)
    return 0


def main(folder: Path) -> None:
    """Keep two workers busy with what never comes."""
    tasks = [
        Preparation(str(i), ["note", str(folder / f"{i}.json"), "/never"], folder / str(i))
        for i in range(2)
    ]
    with LocalExecutor(2) as executor:
        wait([executor.submit(task, Settings(run)) for task in tasks])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
