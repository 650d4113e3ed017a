"""A tokenizer whose ids can be written by hand, and tiny reward models of every kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import Example

VOCABULARY = [
    *("<pad>", "<s>", "</s>", "<unk>", "\n", "+", "-", "<extra_0>", "ки", "\n\n\n\n\n"),
    *("system", "user", "assistant", "Q", "a", "b", "c", "d", "Step", "1:", "2:"),
]
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"


def word_tokenizer() -> Any:
    """Return a tokenizer of words; runs of line breaks are words, spaces are nothing."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("\n+"), "isolated"),
            pre_tokenizers.Split(Regex(" +"), "removed"),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=["<extra_0>"],
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="session")
def words() -> Any:
    """The tokenizer of words."""
    return word_tokenizer()


@pytest.fixture
def characters() -> Any:
    """A tokenizer of characters with tags and labels as tokens: unlike any policy's BPE."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["\n", "\u2019", "ки", "\n\n\n\n\n", " +", " -"]
    alphabet = [*(chr(c) for c in range(32, 127)), *pieces]
    ids = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    of_several = Regex("ки|\n{5}| [+\\-]|[\\s\\S]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(of_several, "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", ids["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=["<extra_0>"],
        chat_template="{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}",
    )


@pytest.fixture(scope="session")
def qwen_tokenizer() -> Any:
    """A small tokenizer with Qwen's rules, `<extra_0>` and ChatML, trained on text with tags."""
    from transformers import Qwen2Tokenizer

    texts = ["Two plus two is 4. \n\n\n\n\n So 4 + 4 - 1 is 7. \n\n\n\n\n + - + -"] * 20
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        texts, 320, new_special_tokens=["<|im_start|>", "<|im_end|>", "<extra_0>"]
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


@pytest.fixture
def example() -> Example:
    """Two steps, 'b c' and 'd', as a policy of single characters sees them."""
    response = "b c\nd"
    return Example(
        uid="u",
        side="chosen",
        prompt="Q a",
        response=response,
        prompt_ids=[1],
        response_ids=[*range(len(response)), 99],
        offsets=[*((i, i + 1) for i in range(len(response))), (5, 5)],
        num_untruncated=len(response) + 1,
        raw_response=response,
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function: kind of head and tokenizer -> folder of a tiny random reward model."""

    def make(head: str, tokenizer: Any, **config: Any) -> Path:
        import torch
        from transformers import (
            LlamaConfig,
            LlamaForCausalLM,
            LlamaForSequenceClassification,
            LlamaForTokenClassification,
        )

        settings = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.4,
            pad_token_id=tokenizer.pad_token_id,
            **config,
        )
        folder = tmp_path_factory.mktemp(head)
        torch.manual_seed(3)
        tokenizer.save_pretrained(folder)
        if head == "two-layer-labels":
            _save_qwen_prm(folder, len(tokenizer))
            return folder
        kinds: dict[str, Any] = {
            "labels": LlamaForTokenClassification,
            "sequence": LlamaForSequenceClassification,
        }
        model = kinds.get(head, LlamaForCausalLM)(settings)
        if head == "value-head":
            _save_with_value_head(model, folder)
        else:
            model.save_pretrained(folder)
        return folder

    return make


def _save_with_value_head(model: Any, folder: Path) -> None:
    """Write a causal language model with the extra tensors of a value head."""
    import torch
    from safetensors.torch import save_file

    model.save_pretrained(folder)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    tensors["v_head.summary.weight"] = torch.randn(1, model.config.hidden_size)
    tensors["v_head.summary.bias"] = torch.tensor([0.25])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _save_qwen_prm(folder: Path, vocab_size: int) -> None:
    """Write the files of a Qwen2.5-Math-PRM without the code that its repository brings."""
    import json

    import torch
    from safetensors.torch import save_file
    from transformers import Qwen2Config, Qwen2Model

    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.4,
    )
    tensors = {f"model.{name}": t for name, t in Qwen2Model(config).state_dict().items()}
    for layer, num_rows in ((0, 24), (2, 2)):
        tensors[f"score.{layer}.weight"] = torch.randn(num_rows, 24) / 3
        tensors[f"score.{layer}.bias"] = torch.randn(num_rows)
    tensors["lm_head.weight"] = torch.randn(vocab_size, 24)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    content = config.to_dict() | {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(content))
