"""One stage of preparing a data set in this process: seconds, CPU-seconds and memory, as JSON.

    python -m benchmarks.scale_stages STAGE FOLDER

What a stage builds on is in the store already, so that only the stage itself is new.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_SETTINGS = {
    "reward": [{"plugin": "random", "args": {"seed": 1}}],
    "training": {
        "use_cpu": True,
        "max_steps": 2,
        "per_device_train_batch_size": 8,
        "save_strategy": "no",
        "disable_tqdm": True,
    },
}


def plan_of(folder: Path) -> Any:
    """Return the plan of a folder that ``benchmarks.scale`` has filled."""
    from tgdpo_core.plugin_api.manager import PluginManager
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.recipe import resolve_recipe

    content = {
        **_SETTINGS,
        "model": {"name_or_path": str(folder / "model")},
        "data": {"path": str(folder / "pairs.jsonl")},
        "output_dir": str(folder / "run"),
    }
    return make_plan(resolve_recipe(content, source="benchmark"), PluginManager())


class Stages:
    """The stages; each method returns the work that is measured, all before it done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Callable[[], Any]:
        """The file into mapped rows."""
        from tgdpo_core.data.opening import open_rows

        plan = plan_of(self._folder)
        path = plan.recipe.data.path
        return lambda: open_rows(path, split="train", plugins=plan.plugins, store=plan.store)

    def validate(self) -> Callable[[], Any]:
        """Rows into checked pairs; no torch."""
        from tgdpo_core.preparation.reading import read

        plan = plan_of(self._folder)
        return lambda: read(plan)

    def tokenise(self) -> Callable[[], Any]:
        """Pairs into token ids; the first time cold, the second warm."""
        import datasets  # noqa: F401
        import torch  # noqa: F401

        from tgdpo_core.models.loading import load_tokenizer
        from tgdpo_core.preparation.reading import read
        from tgdpo_core.preparation.tokens import tokenize

        plan = plan_of(self._folder)
        pairs = read(plan)
        load_tokenizer(plan.model)  # its imports are not of this stage
        return lambda: tokenize(plan, pairs)

    def plan(self) -> Callable[[], Any]:
        """All pairs into rows of 1024 tokens."""
        from tgdpo_core.engine.rows import plan_rows

        sizes = self._tokens()[1].train.counts.shared
        return lambda: plan_rows(sizes.tolist(), 1024)

    def score(self) -> Callable[[], Any]:
        """Reference log-probs and random rewards into the store; the second time reused."""
        from tgdpo_core.preparation.scoring import fill_store

        plan, tokens = self._tokens()
        return lambda: fill_store(plan, tokens)

    def diagnose(self) -> Callable[[], Any]:
        """What rewards and weights look like."""
        from tgdpo_core.preparation.prepared import prepare
        from tgdpo_core.preparation.scoring import score_tokens, scorer_of

        plan, tokens = self._tokens()
        scorer = scorer_of(plan, tokens.tokenizer)
        scored = score_tokens(plan, tokens, scorer)
        return lambda: prepare(scored, scorer, shaping=plan.shaping, beta=0.1, judge=None)

    def train(self) -> Callable[[], Any]:
        """A whole `tgdpo train` of two steps, everything before it in the store."""
        from tgdpo_core.training.run import train

        plan = plan_of(self._folder)
        return lambda: train(plan, overwrite=True)

    def _tokens(self) -> tuple[Any, Any]:
        from tgdpo_core.preparation.reading import read
        from tgdpo_core.preparation.tokens import tokenize

        plan = plan_of(self._folder)
        return plan, tokenize(plan, read(plan))


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Return what a piece of work took.

    ``seconds`` of wall, ``cpu`` seconds of all threads and child processes, ``peak_mib`` resident
    (files that are mapped count; they can be dropped at any time), ``grown_mib`` of memory that
    cannot: anonymous memory after less before.
    """
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before, wall, cpu = _status(), time.perf_counter(), _cpu_seconds()
    kept = work()
    after = _status()
    del kept
    return {
        "seconds": time.perf_counter() - wall,
        "cpu": _cpu_seconds() - cpu,
        "peak_mib": after["VmHWM"] / 1024,
        "grown_mib": (after["RssAnon"] - before["RssAnon"]) / 1024,
    }


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _status() -> Mapping[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.startswith(("VmHWM", "RssAnon", "VmRSS")))
    return {name.rstrip(":"): int(value) for name, value, _ in fields}


if __name__ == "__main__":
    stage, where = sys.argv[1], Path(sys.argv[2])
    os.environ["TGDPO_STORE"] = str(where / "store")
    result = measured(getattr(Stages(where), stage)())
    print(json.dumps({**result, "torch": "torch" in sys.modules}))
