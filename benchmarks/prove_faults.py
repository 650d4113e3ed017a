"""`make prove-faults`: a run is killed at every file operation of its saves; each resume is exact.

Every point is one run of the real command line in a forked process that kills itself (SIGKILL) just
before the operation, and for tensors also when the file is empty, half written or whole. Then
the run is resumed and its weights and log are compared with those of a run that went through.
`--points N` takes N of the points at equal distances, `--stock` does the same with
`transformers.Trainer`.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate"}
_TIMES = ("runtime", "per_second", "peak_memory")
_STEPS = ("max_steps=6", "save_steps=2", "logging_steps=1", "per_device_train_batch_size=4")
Action = Callable[[], None]


def forked(action: Action) -> int:
    """Run an action in a child and return its exit code; negative: the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = 1
        try:
            action()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Killer:
    """Counts what happens to files of a folder, and kills the process at one of the events.

    Args:
        folder: of the run.
        at: number of the event; None: all are written to ``log``.
        log: file for their names.
    """

    def __init__(self, folder: Path, at: int | None, log: Path | None = None) -> None:
        self._folder = str(folder)
        self._at = at
        self._log = log
        self._count = 0

    def arm(self) -> None:
        """Watch this process from now on."""
        import torch
        import transformers.modeling_utils as modeling

        sys.addaudithook(self._hook)
        torch.save = self._in_stages(torch.save, lambda args: args[1])
        modeling.safe_save_file = self._in_stages(modeling.safe_save_file, lambda args: args[1])

    def _event(self, name: str, act: Action = lambda: None) -> None:
        self._count += 1
        if self._log:
            number = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(number, f"{name}\n".encode())
            os.close(number)
        if self._count == self._at:
            act()
            os.kill(os.getpid(), signal.SIGKILL)

    def _hook(self, name: str, args: Any) -> None:
        if name not in _EVENTS or self._folder not in str(args[0]):
            return
        if name == "open" and not (isinstance(args[1], str) and set(args[1]) & set("wax+")):
            return
        self._event(f"{name} {str(args[0]).replace(self._folder, '')}")

    def _in_stages(self, save: Any, path_of: Callable[[Any], Any]) -> Any:
        def saved(*args: Any, **kwargs: Any) -> Any:
            path = str(path_of(args))
            if self._folder not in path:
                return save(*args, **kwargs)
            for stage, share in (("empty", 0.0), ("half", 0.5), ("whole", 1.0)):

                def write(share: float = share) -> None:
                    save(*args, **kwargs)
                    os.truncate(path, int(os.path.getsize(path) * share))

                self._event(f"{stage} {path.replace(self._folder, '')}", write)
            return save(*args, **kwargs)

        return saved


def ours(folder: Path, rows: Path, resume: bool) -> None:
    """Train by the command line on the playground's model."""
    from tgdpo_cli.main import main

    settings = [part for text in _STEPS for part in ("--set", f"training.{text}")]
    arguments = ["train", "--model", "playground", "--dataset", str(rows), *settings]
    arguments += ["--set", "training.use_cpu=true", "--output-dir", str(folder)]
    main([*arguments, *(["--resume"] if resume else [])])


def stock(folder: Path, rows: Path, resume: bool) -> None:
    """Train the same model on the chosen texts with ``transformers.Trainer``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

    import tgdpo_plugins.playground as playground

    model = str(Path(playground.__file__).parent / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = [tokenizer(json.loads(r)["chosen"]).input_ids[:16] for r in rows.read_text().splitlines()]
    data = [
        {"input_ids": x + [0] * (16 - len(x)), "labels": x + [-100] * (16 - len(x))} for x in ids
    ]
    args = {k: int(v) for k, v in (text.split("=") for text in _STEPS)}
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(model),
        TrainingArguments(str(folder / "checkpoints"), use_cpu=True, save_total_limit=2, **args),
        train_dataset=data,
    )
    trainer.train(resume_from_checkpoint=resume or None)
    trainer.save_model(str(folder / "model"))


def outcome(folder: Path) -> tuple[str, list[Any]]:
    """Return a hash of the final weights, and the log without what depends on time."""
    digest = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    log = folder / "logs" / "train.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return digest, [
        {k: v for k, v in json.loads(line).items() if not any(word in k for word in _TIMES)}
        for line in lines
    ]


def main() -> None:
    """Print every point and how many resumes were exact; exit with 1 unless all were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, help="how many points; default: all")
    parser.add_argument("--stock", action="store_true", help="transformers.Trainer instead")
    options = parser.parse_args()
    train = stock if options.stock else ours
    import torch
    import transformers.trainer  # noqa: F401 - once, for all children

    torch.set_num_threads(1)
    import tgdpo_core.training.run  # noqa: F401

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["TGDPO_STORE"] = str(root / "store")
        rows, log, folder = root / "rows.jsonl", root / "events.txt", root / "run"
        texts = [{"prompt": f"{i}+1=", "chosen": f"{i + 1}", "rejected": f"{i}"} for i in range(24)]
        rows.write_text("".join(json.dumps(text) + "\n" for text in texts))
        assert forked(lambda: train(root / "whole", rows, False)) == 0
        expected = outcome(root / "whole")

        def run(killer: Killer) -> Action:
            return lambda: (killer.arm(), train(folder, rows, False))[1]

        forked(run(Killer(folder, None, log)))
        events = log.read_text().splitlines()
        first = next(i for i, name in enumerate(events, 1) if "checkpoint-4" in name)
        points = range(first, len(events) + 1)
        if options.points:
            points = points[:: max(1, len(points) // options.points)]
        exact = 0
        for point in points:
            shutil.rmtree(folder, ignore_errors=True)
            killed = forked(run(Killer(folder, point)))
            resumed = forked(lambda: train(folder, rows, True))
            same = resumed == 0 and outcome(folder) == expected
            exact += same
            print(f"{events[point - 1]:70s} {killed:4d} resume {resumed} exact {same}", flush=True)
        print(f"exact: {exact} of {len(points)}")
        sys.exit(0 if exact == len(points) else 1)


if __name__ == "__main__":
    main()
