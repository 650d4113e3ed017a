"""Data sets of any size, for measuring how preparing grows: short pairs, and real-length ones."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.workload import SHARED, make_model

_NAMES = ("Ada", "Ben", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana")
_THINGS = ("apples", "books", "coins", "dice", "eggs", "flags", "goats", "hats")
_REAL = ("hh_harmless.jsonl", "dpo_en_sharegpt.json", "gsm8k_pairs.jsonl")
_VOCABULARY = 4000


def short_rows(number: int) -> Iterator[dict[str, Any]]:
    """Yield word problems of about 70 tokens a pair, no two alike."""
    generator = random.Random(0)
    for i in range(number):
        name, thing = generator.choice(_NAMES), generator.choice(_THINGS)
        a, b = generator.randrange(2, 99), i
        yield {
            "prompt": f"{name} has {a} {thing} and gets {b} more. How many {thing}?\n",
            "chosen": f"{a} plus {b} is {a + b}, so {name} has {a + b} {thing}.",
            "rejected": f"{a} times {b} is {a * b}; that is what {name} has now, I think.",
        }


def long_rows(number: int, tokens: int, tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Yield dialogues of ``tokens`` tokens a pair on average, words of real ones in new order.

    Each is made of a real row: its number in front, and its sentences cut or repeated to a length
    drawn from 0.3 to 1.7 of the mean.
    """
    rows = [json.loads(line) for line in (SHARED / _REAL[0]).read_text("utf-8").splitlines()]
    generator = random.Random(0)
    text = " ".join(row["chosen"] for row in rows)
    words = text.split()
    per_token = len(words) / len(tokenizer(text)["input_ids"])
    for i in range(number):
        prompt, chosen, rejected = (
            _some(words, generator, tokens * per_token * share) for share in (0.4, 0.35, 0.25)
        )
        yield {"prompt": f"Dialogue {i}: {prompt}\n", "chosen": chosen, "rejected": rejected}


def hh_rows(number: int) -> Iterator[dict[str, Any]]:
    """Yield real dialogues of HH-RLHF over and over, the number of each in its first question."""
    rows = [json.loads(line) for line in (SHARED / _REAL[0]).read_text("utf-8").splitlines()]
    for i in range(number):
        mark = f"\n\nHuman: ({i}) "
        row = rows[i % len(rows)]
        yield {side: row[side].replace("\n\nHuman: ", mark, 1) for side in ("chosen", "rejected")}


def write_rows(rows: Iterator[dict[str, Any]], path: Path) -> None:
    """Write rows as JSONL."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write_model(folder: Path) -> None:
    """Write a Llama of two layers, and a BPE tokenizer trained on short and real rows."""
    import torch

    from benchmarks.workload import bpe

    real = (SHARED / _REAL[0]).read_text("utf-8").splitlines()
    texts = [json.loads(line)["chosen"] for line in real]
    texts += [" ".join(row.values()) for row in short_rows(2000)]
    tokenizer = bpe(texts, _VOCABULARY)
    make_model("test", len(tokenizer), device="cpu", dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _some(words: list[str], generator: random.Random, mean: float) -> str:
    length = max(1, round(mean * generator.uniform(0.3, 1.7)))
    start = generator.randrange(len(words))
    return (
        " ".join((words[start:] + words)[:length])
        if start + length > len(words)
        else (" ".join(words[start : start + length]))
    )
