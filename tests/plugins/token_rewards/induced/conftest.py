"""A policy, a trained model in its tokens, and a trained model with its reference in others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tgdpo_core import Example
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.context import FrozenModels

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<Q>{{ m['content'] }}</Q>"
    "{% else %}{{ m['content'] }}</s>{% endif %}{% endfor %}"
)

Logratios = Callable[[list[int], list[int]], torch.Tensor]


def byte_level_tokenizer(texts: list[str], vocab_size: int) -> Any:
    """Return a tokenizer that shares no id with the policy's and has no BOS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )


@pytest.fixture(scope="session")
def other_tokenizer(gsm8k_rows: list[dict[str, Any]]) -> Any:
    """A tokenizer trained on other text, with other ids, and offsets that leave out spaces."""
    return byte_level_tokenizer([row["chosen"] for row in gsm8k_rows[:200]], 500)


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def other_model(vocab_size: int, seed: int) -> Any:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            initializer_range=0.3,
        )
    )


@pytest.fixture(scope="session")
def same_model(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Path, small_tokenizer: Any
) -> Path:
    """A model in the policy's tokens: the policy with noise on every weight."""
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=0.05)
    return save(tmp_path_factory.mktemp("same"), model, small_tokenizer)


@pytest.fixture(scope="session")
def other_models(
    tmp_path_factory: pytest.TempPathFactory, other_tokenizer: Any
) -> tuple[Path, Path]:
    """A trained model and its reference, both in other tokens than the policy's."""
    folders = [tmp_path_factory.mktemp(name) for name in ("trained", "reference")]
    for seed, folder in enumerate(folders):
        save(folder, other_model(len(other_tokenizer), seed), other_tokenizer)
    return folders[0], folders[1]


@pytest.fixture
def context(small_tokenizer: Any) -> FrozenModels:
    """What the scoring pass gives to ``setup``."""
    return FrozenModels(
        small_tokenizer,
        device=torch.device("cpu"),
        precision=Precision(),
        who="token reward 'induced' (tgdpo)",
    )


@pytest.fixture
def examples(small_tokenizer: Any) -> Callable[..., list[Example]]:
    """A function from rows to examples of both sides, reference log-probs zero."""

    def make(rows: list[dict[str, Any]], **limits: Any) -> list[Example]:
        report = DataReport("rows")
        pairs = parse_rows([(f"rows:{i}", row) for i, row in enumerate(rows, 1)], report)
        tokenized = tokenize_pairs(pairs, small_tokenizer, LengthLimits(**limits), report)
        return [
            pair.example(
                side, shared={"reference_logps": torch.zeros(len(pair.response(side).ids))}
            )
            for pair in tokenized
            for side in ("chosen", "rejected")
        ]

    return make


@torch.no_grad()
def logps(model: Any, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Return log-probs of a response's tokens by the model's own logits."""
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1)


@pytest.fixture
def logratios_by_hand() -> Callable[..., Logratios]:
    """A function from two model folders to plain log-ratios of prompt and response ids."""

    def make(trained: Path, reference: Path) -> Logratios:
        models = [AutoModelForCausalLM.from_pretrained(p).eval() for p in (trained, reference)]
        return lambda prompt, response: (
            logps(models[0], prompt, response) - logps(models[1], prompt, response)
        )

    return make


@pytest.fixture(scope="session")
def gsm8k_file(tmp_path_factory: pytest.TempPathFactory, gsm8k_rows: list[dict[str, Any]]) -> Path:
    """Six real pairs, short enough for tests."""
    rows = sorted(gsm8k_rows, key=lambda row: len(row["prompt"]) + len(row["chosen"]))[:6]
    path = tmp_path_factory.mktemp("gsm8k") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
