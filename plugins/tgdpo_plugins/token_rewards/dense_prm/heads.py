"""Reward models behind one function: log-odds of 'good', or a value, at the positions asked for."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_core import Checkpoint, load_checkpoint
from tgdpo_plugins.token_rewards.dense_prm.layouts import token_id
from tgdpo_plugins.token_rewards.dense_prm.presets import Preset

if TYPE_CHECKING:
    import torch

Read = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""ids [B, T], mask [B, T] and positions [K] to z [B, K]."""


@dataclass(frozen=True)
class RewardModel:
    """A loaded reward model.

    Attributes:
        read: z at some positions: log-odds of 'good', or a value.
        is_value: whether z is a value, which has no probability.
        max_positions: longest input, or None.
    """

    read: Read
    is_value: bool
    max_positions: int | None


@dataclass(frozen=True)
class Source(Checkpoint):
    """Where a reward model is loaded from, how, and which of its labels means good."""

    good_label: str = "1"


_frozen = functools.partial(load_checkpoint, advice="choose its preset")


def load_reward_model(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """Return the model of a preset, frozen.

    Raises:
        UsageError: the checkpoint cannot be read, is of another kind, or its head is missing.
        ValueError: its labels are not those of the preset.
    """
    model, read, is_value = _LOADERS[preset.head](source, preset, tokenizer)
    limit = getattr(model.config, "max_position_embeddings", None)
    return RewardModel(read, is_value, int(limit) if limit else None)


_Loaded = tuple[Any, Read, bool]


def _labels(source: Source, preset: Preset, tokenizer: Any) -> _Loaded:
    """Logits of a token-classification model: good minus bad, or the value of a single label."""
    from transformers import AutoModelForTokenClassification

    # A sequence head has no bias; as a token head it gets one, initialised with 0.
    model = _frozen(AutoModelForTokenClassification, source, may_lack="score.bias")
    num_labels = int(model.config.num_labels)
    if num_labels not in (1, 2):
        raise ValueError(f"it has {num_labels} labels; 2 (bad, good) or 1 (a value) are needed")
    if num_labels == 1:
        return model, _single(model), True
    return model, _difference(model, _good_index(model, source)), False


def _two_layer_labels(source: Source, preset: Preset, tokenizer: Any) -> _Loaded:
    """The same, the head being linear, ReLU, linear (Qwen2.5-Math-PRM): good minus bad."""
    model = _frozen(_two_layer_class(source), source, num_labels=2)
    return model, _difference(model, _good_index(model, source)), False


def _value_head(source: Source, preset: Preset, tokenizer: Any) -> _Loaded:
    """A linear layer on the last hidden states of a causal language model: log-odds."""
    from transformers import AutoModelForTokenClassification

    # In form it is a token-classification model of one label.
    names = {r"^v_head\.summary\.": "score."}
    model = _frozen(AutoModelForTokenClassification, source, num_labels=1, key_mapping=names)
    return model, _single(model), False


def _pair(source: Source, preset: Preset, tokenizer: Any) -> _Loaded:
    """Logits of two tokens of a causal language model: good minus bad."""
    from transformers import AutoModelForCausalLM

    good, bad = token_id(tokenizer, preset.good), token_id(tokenizer, preset.bad)
    model = _frozen(AutoModelForCausalLM, source, unused="")

    def read(
        ids: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor"
    ) -> "torch.Tensor":
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=positions).logits
        difference: torch.Tensor = logits[..., good].float() - logits[..., bad].float()
        return difference

    return model, read, False


def _sequence(source: Source, preset: Preset, tokenizer: Any) -> _Loaded:
    """The score of a sequence-classification model, read at every position: a value."""
    from transformers import AutoModelForSequenceClassification

    model = _frozen(AutoModelForSequenceClassification, source)
    if model.config.num_labels != 1 or not hasattr(model, "score"):
        head = "score" if hasattr(model, "score") else "of another name"
        raise ValueError(
            f"it has {model.config.num_labels} labels and a head {head}; a reward model that can "
            "be read at every token has one label and the head 'score'"
        )

    def read(
        ids: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor"
    ) -> "torch.Tensor":
        hidden = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        scores: torch.Tensor = model.score(hidden[:, positions])[..., 0]
        return scores

    return model, read, True


_LOADERS: dict[str, Callable[[Source, Preset, Any], _Loaded]] = {
    "labels": _labels,
    "two-layer-labels": _two_layer_labels,
    "value-head": _value_head,
    "pair": _pair,
    "sequence": _sequence,
}


def _single(model: Any) -> Read:
    """Return a reader of the only label."""

    def read(
        ids: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor"
    ) -> "torch.Tensor":
        values: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits[:, positions, 0]
        return values

    return read


def _difference(model: Any, good: int) -> Read:
    """Return a reader of log p(good)/p(bad) of two labels."""

    def read(
        ids: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor"
    ) -> "torch.Tensor":
        logits = model(input_ids=ids, attention_mask=mask).logits[:, positions].float()
        difference: torch.Tensor = logits[..., good] - logits[..., 1 - good]
        return difference

    return read


def _good_index(model: Any, source: Source) -> int:
    """Return which of two labels means good: an index, or its name."""
    names = {str(name): int(index) for index, name in model.config.id2label.items()}
    if source.good_label in names:
        return names[source.good_label]
    if source.good_label in ("0", "1"):
        return int(source.good_label)
    raise ValueError(f"it has no label '{source.good_label}'; its labels are {', '.join(names)}")


def _two_layer_class(source: Source) -> Any:
    """Return the token-classification class of the model's architecture with a two-layer head.

    So the published models need none of the code that their repositories bring.
    """
    from torch import nn
    from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, AutoConfig

    config = AutoConfig.from_pretrained(
        source.location, revision=source.revision, trust_remote_code=False
    )
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise ValueError(f"transformers reads no labels from a model of type {config.model_type}")
    one_layer: Any = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING[type(config)]

    class TwoLayerHead(one_layer):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            width = config.hidden_size
            self.score = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.num_labels)
            )
            self.post_init()

    return TwoLayerHead
