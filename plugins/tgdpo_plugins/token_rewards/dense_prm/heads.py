"""Reward models behind one function: log-odds of 'good', or a value, at every position."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tgdpo_plugins.token_rewards.dense_prm.layouts import token_id
from tgdpo_plugins.token_rewards.dense_prm.presets import Preset

if TYPE_CHECKING:
    import torch

Values = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""ids [B, T] and mask [B, T] to float32 [B, T]."""


class RewardModel(NamedTuple):
    """A loaded reward model.

    Attributes:
        values: z at every position: log-odds of 'good', or a value.
        is_value: whether z is a value, which has no probability.
        max_positions: longest input, or None.
    """

    values: Values
    is_value: bool
    max_positions: int | None


class Source(NamedTuple):
    """Where a reward model is loaded from, and how."""

    path: str
    revision: str | None
    dtype: Any
    device: Any
    trust_remote_code: bool
    good_label: str


def load_reward_model(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """Return the model of a preset, frozen.

    Raises:
        ValueError: the checkpoint is of another kind, or its head is missing.
        OSError: there is nothing that can be loaded.
    """
    return _LOADERS[preset.head](source, preset, tokenizer)


def _labels(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """Logits of a token-classification model: good minus bad, or the value of a single label."""
    from transformers import AutoModelForTokenClassification

    model = _loaded(AutoModelForTokenClassification, source)
    num_labels = int(model.config.num_labels)
    if num_labels not in (1, 2):
        raise ValueError(f"it has {num_labels} labels; 2 (bad, good) or 1 (a value) are needed")
    return RewardModel(
        _of_labels(model, _good_index(model, source)), num_labels == 1, _limit(model)
    )


def _remote_labels(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """Two logits at every position, of a model whose code comes with it."""
    from transformers import AutoModel

    if not source.trust_remote_code:
        raise ValueError(
            "this preset's models bring their own code, which runs with your rights: say "
            "trust_remote_code=true if you trust it"
        )
    model = _loaded(AutoModel, source)
    return RewardModel(_of_labels(model, _good_index(model, source)), False, _limit(model))


def _pair(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """Logits of two tokens of a causal language model: good minus bad."""
    from transformers import AutoModelForCausalLM

    model = _loaded(AutoModelForCausalLM, source)
    good, bad = token_id(tokenizer, preset.good), token_id(tokenizer, preset.bad)

    def values(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        logits = model(input_ids=ids, attention_mask=mask).logits
        return (logits[..., good].float() - logits[..., bad].float()).cpu()

    return RewardModel(values, False, _limit(model))


def _value_head(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """A linear layer on the last hidden states of a causal language model: log-odds."""
    from transformers import AutoModelForCausalLM

    model = _loaded(AutoModelForCausalLM, source, ignored="v_head.")
    weight, bias = _value_head_tensors(source)

    def values(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        hidden = model.get_decoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        return (hidden.float() @ weight.flatten() + bias).cpu()

    return RewardModel(values, False, _limit(model))


def _sequence(source: Source, preset: Preset, tokenizer: Any) -> RewardModel:
    """The score of a sequence-classification model, read at every position."""
    from transformers import AutoModelForSequenceClassification

    model = _loaded(AutoModelForSequenceClassification, source)
    if model.config.num_labels != 1 or not hasattr(model, "score"):
        raise ValueError(
            f"it has {model.config.num_labels} labels and head "
            f"{'score' if hasattr(model, 'score') else 'of another name'}; a reward model has one "
            "label and the head 'score'"
        )

    def values(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        hidden = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        scores: torch.Tensor = model.score(hidden)[..., 0].float().cpu()
        return scores

    return RewardModel(values, True, _limit(model))


_LOADERS: dict[str, Callable[[Source, Preset, Any], RewardModel]] = {
    "labels": _labels,
    "remote-labels": _remote_labels,
    "value-head": _value_head,
    "pair": _pair,
    "sequence": _sequence,
}


def _of_labels(model: Any, good: int) -> Values:
    def values(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        logits = model(input_ids=ids, attention_mask=mask)[0].float().cpu()
        if logits.shape[-1] == 1:
            single: torch.Tensor = logits[..., 0]
            return single
        difference: torch.Tensor = logits[..., good] - logits[..., 1 - good]
        return difference

    return values


def _good_index(model: Any, source: Source) -> int:
    """Return which of two labels means good: an index, or its name."""
    names = {str(name): int(index) for index, name in model.config.id2label.items()}
    if source.good_label in names:
        return names[source.good_label]
    if source.good_label in ("0", "1"):
        return int(source.good_label)
    raise ValueError(f"it has no label '{source.good_label}'; its labels are {', '.join(names)}")


def _loaded(auto_class: Any, source: Source, *, ignored: str = "") -> Any:
    """Return a model in eval mode; refuse one whose head is not in the checkpoint."""
    model, report = auto_class.from_pretrained(
        source.path,
        revision=source.revision,
        dtype=source.dtype,
        trust_remote_code=source.trust_remote_code,
        output_loading_info=True,
    )
    missing = sorted(report["missing_keys"])
    # A sequence head has no bias; as a token head it gets one, initialised with 0.
    missing = [key for key in missing if not key.endswith("score.bias")]
    if missing:
        raise ValueError(
            f"the checkpoint lacks {missing[0]} ({len(missing)} tensors), which would be random: "
            "it is a model of another kind, choose its preset"
        )
    unexpected = [key for key in report["unexpected_keys"] if not key.startswith(ignored or " ")]
    if unexpected:
        raise ValueError(
            f"the checkpoint holds {unexpected[0]} ({len(unexpected)} tensors), which this preset "
            "does not use: it is a model of another kind, choose its preset"
        )
    return model.requires_grad_(False).eval().to(source.device)


def _value_head_tensors(source: Source) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return weight [1, D] and bias [1] of ``v_head.summary``, float32."""
    from safetensors import safe_open

    found = {}
    for file in _weight_files(source):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                if name.startswith("v_head.summary."):
                    found[name.rpartition(".")[2]] = tensors.get_tensor(name).float()
    if set(found) != {"weight", "bias"}:
        raise ValueError("the checkpoint has no v_head.summary.weight and .bias in safetensors")
    return found["weight"].to(source.device), found["bias"].to(source.device)


def _weight_files(source: Source) -> Sequence[str]:
    from pathlib import Path

    from huggingface_hub import snapshot_download

    folder = Path(source.path)
    if not folder.is_dir():
        folder = Path(
            snapshot_download(source.path, revision=source.revision, allow_patterns="*.safetensors")
        )
    return [str(path) for path in sorted(folder.glob("*.safetensors"))]


def _limit(model: Any) -> int | None:
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit else None
