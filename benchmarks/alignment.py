"""Time of alignment: 10,000 responses of 500 tokens.

    python -m benchmarks.alignment

Prints, on one CPU thread: projecting spans of another tokenizer's tokens (``Spans`` with as many
items as tokens) by each rule, projecting step spans, the self-check of offsets, and tokenization
itself to compare with. Tokenizers are trained on the fly; no file is read and none written.
"""

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"

from tgdpo_core import Spans
from tgdpo_core.data.alignment import project
from tgdpo_core.data.offsets import offsets_cover
from tgdpo_core.data.tokenization import EncodedText, encode_texts

NUM_RESPONSES, NUM_TOKENS = 10_000, 500
NUM_DISTINCT = 100  # texts in turn; nothing is cached between them
WORDS = ["the", "model", "adds", "two", "so 2 + 3", "= 5.\n", "naïve", "中文", "🎉", "checks", "it"]


def random_text(generator: random.Random) -> str:
    """Return words that make far more than 500 tokens."""
    return " ".join(generator.choices(WORDS, k=NUM_TOKENS))


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> Any:
    """Return a byte-level BPE tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def cut(encoded: EncodedText) -> EncodedText:
    """Return the first 500 tokens with their text."""
    offsets = encoded.offsets[:NUM_TOKENS]
    return EncodedText(encoded.text[: offsets[-1, 1]], encoded.ids[:NUM_TOKENS], offsets)


def report(name: str, one: Callable[[int], Any]) -> None:
    """Print how long ``one(i)`` takes for every response."""
    began = time.perf_counter()
    for i in range(NUM_RESPONSES):
        one(i % NUM_DISTINCT)
    seconds = time.perf_counter() - began
    print(f"{name:44} {seconds:7.2f} s   {seconds / NUM_RESPONSES * 1e6:7.0f} us a response")


def main() -> None:
    """Print the table."""
    generator = random.Random(0)
    texts = [random_text(generator) for _ in range(NUM_DISTINCT)]
    policy, other = train_tokenizer(texts, 280), train_tokenizer(texts, 300)
    responses = [cut(e) for e in encode_texts(texts, policy, add_special_tokens=False)]
    short = [response.text for response in responses]
    offsets = [list(map(tuple, r.offsets.tolist())) for r in responses]  # as plugins see them
    foreign = encode_texts(short, other, add_special_tokens=False)
    tokens = [[(a, b, generator.gauss(0, 1)) for a, b in e.offsets.tolist()] for e in foreign]
    steps = [
        [(a, min(a + 120, len(text)), generator.random()) for a in range(0, len(text), 120)]
        for text in short
    ]
    mean_items = sum(map(len, tokens)) / NUM_DISTINCT
    print(f"{NUM_RESPONSES:,} responses of {NUM_TOKENS} tokens, {mean_items:.0f} spans each")
    for how in ("sum", "mean", "max", "last"):
        report(
            f"project, another tokenizer's tokens, {how}",
            lambda i, how=how: project(Spans(tokens[i], how=how), offsets[i], len(short[i])),
        )
    report(
        "project, steps, mean",
        lambda i: project(Spans(steps[i]), offsets[i], len(short[i])),
    )
    report("self-check of offsets", lambda i: offsets_cover(responses[i].offsets, short[i], policy))
    report(
        "tokenization with the self-check",
        lambda i: encode_texts([short[i]], policy, add_special_tokens=False),
    )


if __name__ == "__main__":
    main()
