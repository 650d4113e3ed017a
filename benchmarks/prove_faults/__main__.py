"""Kill runs and stores at points of their writes, damage checkpoints; print what was exact.

Every case is one run of the real command line in a forked process that kills itself (SIGKILL)
just before a file operation, or when a file is empty, half written or whole. Then the run is
resumed, and its weights and log are compared with those of a run that went through.
`transformers.Trainer` beside it: the same model, the same kills, its own files.
"""

import argparse
import gc
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.prove_faults.launcher import stopped_by_signals
from benchmarks.prove_faults.runs import ours, stock, write_rows
from benchmarks.prove_faults.saves import (
    Count,
    damaged,
    killed_in_saves,
    killed_in_saves_of_two,
)
from benchmarks.prove_faults.store_writes import killed_in_store_writes

_NEEDED = (
    *("torch", "transformers.trainer", "transformers.models.llama.modeling_llama"),
    *("tgdpo_core.training.run", "tgdpo_core.training.recorded_run", "tgdpo_cli.commands.train"),
    *("tgdpo_cli.commands.score", "tgdpo_plugins.token_rewards", "tgdpo_plugins.shapings"),
    *("tgdpo_plugins.transforms", "tgdpo_plugins.judges", "tgdpo_plugins.playground"),
)


def _proofs(root: Path, points: int | None) -> dict[str, Callable[[], Count]]:
    from tests.faults.training.test_checkpoint_damage import DAMAGE

    return {
        "saves": lambda: killed_in_saves(root, ours, points, print),
        "ranks": lambda: killed_in_saves_of_two(root, 20 if points is None else points, print),
        "launcher": lambda: stopped_by_signals(root, print),
        "store": lambda: killed_in_store_writes(root, 10 if points is None else points, print),
        "damage": lambda: damaged(root, DAMAGE, print),
        "stock": lambda: killed_in_saves(root, stock, 15 if points is None else points, print),
    }


def main() -> None:
    """Print every case and how many were exact; exit with 1 unless all of ours were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, help="how many of each; default: see the docs")
    parser.add_argument(
        "--only", action="append", help="saves, ranks, launcher, store, damage or stock"
    )
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name in _NEEDED:  # once, for all children
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.freeze()
    counts: dict[str, tuple[Count, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["TGDPO_STORE"] = str(root / "store")
        write_rows(root / "rows.jsonl")
        for name, proof in _proofs(root, options.points).items():
            if options.only and name not in options.only:
                continue
            print(f"-- {name}")
            began = time.monotonic()
            counts[name] = proof(), time.monotonic() - began
    print("-- exact")
    for name, (count, seconds) in counts.items():
        print(f"{name:8s} {count!s:12s} {seconds:5.0f} s")
    sys.exit(any(c.exact < c.total for name, (c, _) in counts.items() if name != "stock"))


if __name__ == "__main__":
    main()
