"""The runs that are killed: of the command line, and of ``transformers.Trainer`` beside it."""

import hashlib
import json
from pathlib import Path
from typing import Any

_TIMES = ("runtime", "per_second", "peak_memory")
_STEPS = ("max_steps=6", "save_steps=2", "logging_steps=1", "per_device_train_batch_size=4")


def write_rows(path: Path) -> None:
    """Write 24 pairs of the playground's kind."""
    texts = [{"prompt": f"{i}+1=", "chosen": f"{i + 1}", "rejected": f"{i}"} for i in range(24)]
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))


def ours(folder: Path, rows: Path, resume: bool, *settings: str) -> None:
    """Train by the command line on the playground's model, with random token rewards."""
    from tgdpo_cli.main import main

    main(arguments_of(folder, rows, resume, *settings))


def arguments_of(
    folder: Path, rows: Path, resume: bool, *settings: str, reward: str = "random"
) -> list[str]:
    """Return the command line of a run."""
    given = [part for text in (*_STEPS, *settings) for part in ("--set", f"training.{text}")]
    arguments = ["train", "--model", "playground", "--dataset", str(rows), *given]
    arguments += ["--reward-plugin", reward, "--set", "training.use_cpu=true"]
    return [*arguments, "--output-dir", str(folder), *(["--resume"] if resume else [])]


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
