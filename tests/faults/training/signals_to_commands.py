"""What the child of test_signals_to_commands.py does: commands that are stopped from outside.

Arguments: model folder, rows, scratch folder. Prints one JSON line.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.faults.training.forked import Child, Ended, report
from tgdpo_core.store.catalogue import list_collections

model, rows, scratch = sys.argv[1], sys.argv[2], Path(sys.argv[3])
ASKED, ANSWERED = scratch / "asked.txt", scratch / "answered.txt"
PLUGIN = scratch / "slow.py"
PLUGIN.write_text(
    f"""
import time
from tgdpo_core import Judge, TokenReward, hookimpl

class Slow(TokenReward):
    "A reward that takes its time, and notes what it has answered."
    def score(self, batch):
        with open({str(ASKED)!r}, "a") as file:
            file.write(".")
        time.sleep(0.4)
        with open({str(ANSWERED)!r}, "a") as file:
            file.write("".join(item.uid + chr(10) for item in batch))
        return [[1.0] * len(item.response_ids) for item in batch]

class Length(Judge):
    "How long an answer is."
    def score(self, batch):
        return [float(len(item.response)) for item in batch]

@hookimpl
def register_token_rewards(register):
    register("slow", Slow)

@hookimpl
def register_judges(register):
    register("length", Length)
"""
)
DATA = ["--model", model, "--dataset", rows]
TRAIN = [
    *("train", *DATA, "--reward-plugin", "random"),
    *("--set", "training.max_steps=4", "--set", "training.save_steps=2"),
    *("--set", "training.logging_steps=1", "--set", "training.learning_rate=1e-3"),
    *("--set", "training.per_device_train_batch_size=4", "--set", "training.use_cpu=true"),
]


def answered() -> set[str]:
    """Return the responses that the slow reward has answered."""
    return set(ANSWERED.read_text().split()) if ANSWERED.exists() else set()


def is_under_way() -> bool:
    """Return whether the reward works on its third batch; it is asked about the first one twice."""
    return ASKED.exists() and len(ASKED.read_text()) == 4


def forget() -> None:
    """Begin to count anew."""
    for path in (ASKED, ANSWERED):
        path.unlink(missing_ok=True)


def small_batches() -> None:
    """Ask about two pairs at a time."""
    from tgdpo_core.scoring import filling

    filling._TOKENS_PER_BATCH = 2 * 2 * 60


def stored(store: Path) -> int:
    """Return how many pairs the store holds answers about."""
    found = [i for i in list_collections(store) if i.what.endswith(": slow")]
    return sum(info.num_entries for info in found)


def scoring(name: str) -> dict[str, Any]:
    """Stop ``tgdpo score`` when some is answered, then go on."""
    store = scratch / f"store-{name}"
    arguments = ["--plugin-file", str(PLUGIN), "score", *DATA, "--reward-plugin", "slow", "--json"]
    where = {"TGDPO_STORE": str(store)}
    forget()
    child = Child(arguments, scratch / "out.txt", small_batches, where)
    child.send(name, is_under_way)
    ended = child.end()
    kept = {"code": ended.code, "said": ended.said[-600:], "stored": stored(store)}
    kept["answered"] = len(answered()) // 2
    again = Child(arguments, scratch / "out.txt", small_batches, where).end()
    passes = json.loads(again.said[again.said.index("{") :])["passes"]
    (counts,) = (v for k, v in passes.items() if "slow" in k)
    return {**kept, "again": again.code, "reused": counts["reused"], "computed": counts["computed"]}


def training_that_scores() -> dict[str, Any]:
    """Stop ``tgdpo train`` before its first step."""
    forget()
    arguments = ["--plugin-file", str(PLUGIN), *TRAIN, "--reward-plugin", "slow"]
    arguments += ["--output-dir", str(scratch / "early")]
    store = scratch / "store-early"
    child = Child(arguments, scratch / "out.txt", small_batches, {"TGDPO_STORE": str(store)})
    child.send("SIGTERM", is_under_way)
    ended = child.end()
    kept = {"stored": stored(store), "answered": len(answered()) // 2}
    return {"code": ended.code, "said": ended.said[-600:], **kept}


def in_a_save() -> None:
    """Send a signal in the middle of the save of step 2: files are written, not yet sealed."""
    from tgdpo_core.training.durability import checkpoints

    seal = checkpoints.seal

    def sealed(folder: Path, facts: Any) -> None:
        if facts["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        seal(folder, facts)

    checkpoints.seal = sealed  # type: ignore[assignment]


def train(name: str, *more: str, patch: Any = lambda: None) -> Ended:
    arguments = [*TRAIN, "--output-dir", str(scratch / name), *more]
    where = {"TGDPO_STORE": str(scratch / "store")}
    return Child(arguments, scratch / "out.txt", patch, where).end()


def while_generating() -> None:
    """Send a signal when the second model generates."""
    from tgdpo_core.generation.in_process import InProcess

    generate, calls = InProcess._generate, []

    def generated(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:  # once for the first model
            os.kill(os.getpid(), signal.SIGTERM)
        return generate(*arguments)

    InProcess._generate = generated  # type: ignore[method-assign]


def evaluating() -> dict[str, Any]:
    """Stop ``tgdpo evaluate`` at its second model."""
    models = [str(scratch / "whole"), model]  # `saving` has the same weights, so the same answers
    arguments = ["--plugin-file", str(PLUGIN), "evaluate", *models, "--dataset", rows]
    arguments += ["--judge", "length", "--max-new-tokens", "2"]
    store = {"TGDPO_STORE": str(scratch / "store-evaluating")}  # kept answers would not be drawn
    ended = Child(arguments, scratch / "out.txt", while_generating, store).end()
    kept = [(Path(m) / "evaluation" / "length" / "summary.json").is_file() for m in models]
    return {"code": ended.code, "said": ended.said[-600:], "kept": kept}


found: dict[str, Any] = {name: scoring(name) for name in ("SIGTERM", "SIGINT", "SIGHUP")}
found["early"] = training_that_scores()
found["whole"] = train("whole").code
saving = train("saving", patch=in_a_save)
found["saving"] = {"code": saving.code, "said": saving.said[-600:]}
found["saving"]["checkpoints"] = sorted(
    path.name for path in (scratch / "saving" / "checkpoints").iterdir()
)
found["resumed"] = train("saving", "--resume").code
found["evaluating"] = evaluating()
report(found)
