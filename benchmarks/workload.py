"""What is measured on: real preference pairs or synthetic lengths, and models of given shapes."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.engine.rows import PairIds

SHARED = Path(__file__).parents[2] / "shared" / "data"
_FILES = {
    "hh": "hh_harmless.jsonl",
    "sharegpt": "dpo_en_sharegpt.json",
    "gsm8k": "gsm8k_pairs.jsonl",
}
_LONGEST = 1000  # tokens of prompt and longer response; longer pairs are left out of every method
_TOLERANCE = 0.04  # how far a sample's mean lengths may be from those of its data set

SHAPES: dict[str, dict[str, int]] = {
    # The CPU model of the tables: small body, real vocabulary.
    "llama-12x256": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
    },
    "smollm2-135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "qwen2.5-1.5b": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
    },
    "llama-3-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "test": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}

_TIED = {"smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b"}  # head and embedding are one matrix


def make_model(shape: str, vocab_size: int, *, device: str, dtype: Any) -> Any:
    """Return a Llama of a shape with random weights, the same on every call."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab_size,
        max_position_embeddings=8192,
        tie_word_embeddings=shape in _TIED,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **SHAPES[shape],
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # a large model is never made in float32 first
    try:
        with torch.device(device):
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def load_pairs(data: str, number: int, skip: int, cache: Path) -> list[PairIds]:
    """Return ``number`` pairs of a workload.

    Args:
        data: ``hh``, ``sharegpt``, ``gsm8k``, or ``PROMPT:ANSWER`` for synthetic lengths (+-30 %).
        number: how many; of real data, a sample whose mean lengths match those of the data set.
        skip: pairs at the beginning that are warm-up and do not count for the match.
        cache: folder where tokenized data are kept.
    """
    if ":" in data:
        return _synthetic(data, number)
    return _matched(all_pairs(data, cache), number, skip)


def all_pairs(data: str, cache: Path) -> list[PairIds]:
    """Return every pair of a real data set, tokenized by a 32k BPE trained on the real texts."""
    stored = cache / f"{data}.json"
    if not stored.exists():
        _tokenize_all(cache)
    return [PairIds(*row) for row in json.loads(stored.read_text())]


def _synthetic(data: str, number: int) -> list[PairIds]:
    prompt, answer = (int(part) for part in data.split(":"))
    generator = random.Random(0)

    def ids(length: int) -> list[int]:
        around = max(2, int(length * generator.uniform(0.7, 1.3)))
        return [generator.randrange(10, 31000) for _ in range(around)]

    return [PairIds(ids(prompt), ids(answer), ids(answer)) for _ in range(number)]


def _matched(pairs: Sequence[PairIds], number: int, skip: int) -> list[PairIds]:
    """Return a random sample with the data set's mean prompt, total and longest answer lengths."""
    usable = [pair for pair in pairs if pair.longest_sequence <= _LONGEST]
    measures: list[Callable[[PairIds], int]] = [
        lambda p: len(p.prompt),
        lambda p: len(p.chosen) + len(p.rejected),
        lambda p: max(len(p.chosen), len(p.rejected)),
    ]

    def means(sample: Sequence[PairIds]) -> list[float]:
        return [sum(map(measure, sample)) / len(sample) for measure in measures]

    target, generator = means(usable), random.Random(0)
    while True:
        sample = generator.sample(usable, number)
        found = means(sample[skip:])
        if all(abs(a / b - 1) < _TOLERANCE for a, b in zip(found, target, strict=True)):
            return sample


def _tokenize_all(cache: Path) -> None:
    """Tokenize the three files with one tokenizer, through the product's own data room."""
    from tgdpo_core.data.formats import parse_rows
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.data.sources import load_rows
    from tgdpo_core.data.templates import ChatTemplate
    from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
    from tgdpo_core.plugin_api.manager import PluginManager

    plugins = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})
    parsed = {}
    for name, file in _FILES.items():
        rows = load_rows(str(SHARED / file), split="train", plugins=plugins)
        parsed[name] = parse_rows(rows, DataReport(name))
    plain = bpe(["unused"], 300)
    texts = []
    for pairs in parsed.values():
        for pair in pairs:
            for response in (pair.chosen, pair.rejected):
                texts.append(
                    ChatTemplate(plain).render(pair, [*pair.prompt, *response])
                    if pair.is_chat
                    else f"{pair.prompt}{response}"
                )
    tokenizer = bpe(texts, 32_000)
    cache.mkdir(parents=True, exist_ok=True)
    limits = LengthLimits(max_length=100_000)
    for name, pairs in parsed.items():
        tokenized = tokenize_pairs(pairs, tokenizer, limits, DataReport(name))
        ids = [[p.prompt_ids, p.chosen.ids, p.rejected.ids] for p in tokenized]
        rows_of_ids = [[part.tolist() for part in pair] for pair in ids]
        (cache / f"{name}.json").write_text(json.dumps(rows_of_ids))


def bpe(texts: Sequence[str], vocab_size: int) -> Any:
    """Return a byte-level BPE tokenizer trained on texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
