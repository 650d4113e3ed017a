"""A small tokenizer of each kind in use, and random texts that are hard to align."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

CORPUS = [
    "Step 1: the 🎉 program costs 3€ and the cat sat on the mat.\n\nStep 2: 中文 works.",
    "She sells sea shells by the sea shore;  naïve café, two plus two is four.",
    "\tdef f(x):\n        return x + 1\n\nSo the answer is 42. 你好吗 family 👩‍👩‍👧",
] * 4
BYTES = pre_tokenizers.ByteLevel.alphabet()
FALLBACK = [f"<0x{byte:02X}>" for byte in range(256)]
LLAMA3_WORDS = (
    r"'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gpt2(*, trim_offsets: bool, add_prefix_space: bool) -> Any:
    """Return byte-level BPE as GPT-2 (offsets whole) and RoBERTa (trimmed) have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(
        trim_offsets=trim_offsets, add_prefix_space=add_prefix_space
    )
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=BYTES, show_progress=False)
    return _finished(tokenizer, trainer)


def llama3() -> Any:
    """Return byte-level BPE behind a regular expression, as Llama 3 and Qwen have it."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=BYTES, show_progress=False)
    fast = _finished(tokenizer, trainer)
    bos, eos = fast.bos_token_id, fast.eos_token_id
    fast.backend_tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<s> $A </s>", special_tokens=[("<s>", bos), ("</s>", eos)]
            ),
        ]
    )
    return fast


def llama2() -> Any:
    """Return BPE with a prepended mark and byte fallback, as Llama 2 and Mistral have it."""
    marks = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained = Tokenizer(models.BPE())
    trained.normalizer = marks
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, limit_alphabet=60, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    tokens = ["<unk>", *FALLBACK, *model["vocab"]]
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(tokens)},
            merges,
            byte_fallback=True,
            fuse_unk=True,
            unk_token="<unk>",
        )
    )
    tokenizer.normalizer = marks
    return _finished(tokenizer, None, decoder=_sentencepiece_decoder())


def unigram() -> Any:
    """Return SentencePiece Unigram with Metaspace and byte fallback, as T5 and Gemma have it."""
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    ascii_corpus = ["".join(c for c in text if c.isascii()) for text in CORPUS]
    trained.train_from_iterator(
        ascii_corpus, trainers.UnigramTrainer(vocab_size=120, show_progress=False)
    )
    pieces = [(piece, score) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    vocabulary = [("<unk>", 0.0), *((piece, -20.0) for piece in FALLBACK), *pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _finished(tokenizer, None, decoder=_sentencepiece_decoder())


def wordpiece() -> Any:
    """Return WordPiece that drops spaces, accents and control characters, as BERT has it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]"], show_progress=False
    )
    return _finished(tokenizer, trainer)


def _sentencepiece_decoder() -> Any:
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def _finished(tokenizer: Any, trainer: Any, *, decoder: Any = None) -> Any:
    from transformers import PreTrainedTokenizerFast

    if trainer is not None:
        tokenizer.train_from_iterator(CORPUS, trainer)
    if decoder is not None:
        tokenizer.decoder = decoder
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    return fast


KINDS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: gpt2(trim_offsets=False, add_prefix_space=False),
    "gpt2, prefix space": lambda: gpt2(trim_offsets=False, add_prefix_space=True),
    "roberta": lambda: gpt2(trim_offsets=True, add_prefix_space=False),
    "roberta, prefix space": lambda: gpt2(trim_offsets=True, add_prefix_space=True),
    "llama3": llama3,
    "llama2": llama2,
    "unigram": unigram,
    "wordpiece": wordpiece,
}


@pytest.fixture(scope="session")
def tokenizers_by_kind() -> dict[str, Any]:
    """One tokenizer of each kind."""
    return {kind: make() for kind, make in KINDS.items()}


@pytest.fixture(scope="session", params=KINDS)
def any_tokenizer(request: pytest.FixtureRequest, tokenizers_by_kind: dict[str, Any]) -> Any:
    """Each kind in turn."""
    return tokenizers_by_kind[request.param]


ATOMS = [
    *"abcXYZ019.,;:!?'\"<>",
    *(" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000"),
    *("the ", " cat", "answer", "Step 1: ", "def f(x):\n    "),
    *("é", "e\u0301", "n\u0303", "ß", "ﬁ", "½", "\u0627", "אָ"),
    *("中", "文", "日本語", "한국", "\uac01"),
    *("🎉", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "❤️", "\U0001d518", "\u200d", "\u200b", "\ufeff"),
]


@pytest.fixture(scope="session")
def random_texts() -> list[str]:
    """2,000 texts of up to 40 pieces, some empty or blank."""
    generator = random.Random(0)
    return ["".join(generator.choices(ATOMS, k=generator.randrange(41))) for _ in range(2000)]
