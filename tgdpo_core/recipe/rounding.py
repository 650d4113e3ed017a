"""Whether an optimizer rounds bfloat16 weights at random: how a recipe says it, and for what."""

from collections.abc import Mapping
from typing import Any

LOW_BIT = ("adamw_torch_8bit", "adamw_torch_4bit")
"""The optimizers of torchao, by their names in ``training.optim``."""

STOCHASTIC = "bf16_stochastic_round"
_TRUE = ("y", "yes", "t", "true", "on", "1")  # as transformers reads it

HOW_TO_ROUND = f"training.optim={LOW_BIT[0]} with training.optim_args={STOCHASTIC}=true"
"""What to set, for messages."""


def rounds_stochastically(training: Mapping[str, Any]) -> bool:
    """Return whether the optimizer is asked to round at random.

    Args:
        training: names and values of ``transformers.TrainingArguments``.
    """
    optimizer = training.get("optim")
    name = str(getattr(optimizer, "value", optimizer))
    pairs = str(training.get("optim_args") or "").replace(" ", "").split(",")
    settings = dict(pair.partition("=")[::2] for pair in pairs)
    return name in LOW_BIT and settings.get(STOCHASTIC, "").lower() in _TRUE


def check_rounding(training: Mapping[str, Any], *, dtype: str, lora: bool) -> None:
    """Raise ``ValueError`` where stochastic rounding has nothing to round.

    Args:
        training: names and values of ``transformers.TrainingArguments``.
        dtype: ``model.dtype``.
        lora: whether a fresh adapter is trained; its weights are float32.
    """
    if rounds_stochastically(training) and (lora or dtype != "bfloat16"):
        weights = "an adapter's weights are" if lora else f"model.dtype={dtype} means"
        raise ValueError(
            f"training.optim_args: {STOCHASTIC} has no effect here: {weights} float32. "
            + ("Leave it out" if lora else "Set model.dtype=bfloat16, or leave it out")
        )
