"""A tokenizer whose ids can be written by hand, and tiny reward models of every kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import Example

VOCABULARY = [
    *("<pad>", "<s>", "</s>", "<unk>", "\n", "+", "-", "<extra_0>", "ки", "\n\n\n\n\n"),
    *("system", "user", "assistant", "Q", "a", "b", "c", "d"),
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


REMOTE_CODE = """
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel

class ProcessRewardModel(LlamaPreTrainedModel):
    config_class = LlamaConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = torch.nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return (self.score(hidden),)
"""


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
        kinds: dict[str, Any] = {
            "labels": LlamaForTokenClassification,
            "sequence": LlamaForSequenceClassification,
        }
        model = kinds.get(head, LlamaForCausalLM)(settings)
        if head == "value-head":
            _save_with_value_head(model, folder)
        else:
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
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


@pytest.fixture(scope="session")
def remote_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """A function: tokenizer -> folder of a reward model that brings its own code."""

    def make(tokenizer: Any) -> Path:
        import json

        import torch
        from safetensors.torch import save_file
        from transformers import LlamaConfig, LlamaModel

        folder = tmp_path_factory.mktemp("remote")
        (folder / "modeling_prm.py").write_text(REMOTE_CODE)
        torch.manual_seed(4)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=0.4,
        )
        body = LlamaModel(config)
        tensors = {f"model.{name}": tensor for name, tensor in body.state_dict().items()}
        tensors["score.weight"], tensors["score.bias"] = torch.randn(2, 24), torch.randn(2)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        content = config.to_dict()
        content["architectures"] = ["ProcessRewardModel"]
        content["auto_map"] = {"AutoModel": "modeling_prm.ProcessRewardModel"}
        (folder / "config.json").write_text(json.dumps(content))
        tokenizer.save_pretrained(folder)
        return folder

    return make
