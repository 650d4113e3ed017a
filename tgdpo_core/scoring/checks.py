"""The contract of plugins, held at the door: what they return is checked before it is used."""

from collections.abc import Sequence
from typing import Any

import torch

from tgdpo_core.data.alignment import project
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Example, Spans


def checked_rewards(
    who: str, results: Any, examples: Sequence[Example], where: Sequence[str]
) -> list[torch.Tensor]:
    """Return one finite 1-D float32 tensor per example, spans projected.

    Args:
        who: how messages name the plugin.
        results: what ``score`` returned.
        examples: what it was given.
        where: the place of each example, for messages.

    Raises:
        PluginError: wrong count, shape or length, a gradient, or values that are not finite.
    """
    require_one_each(who, results, len(examples), where[0])
    return [
        _checked_result(f"{who}, {place} ({example.side})", result, example)
        for result, example, place in zip(results, examples, where, strict=True)
    ]


def require_one_each(who: str, results: Any, number: int, where: str) -> None:
    """Raise ``PluginError`` unless a plugin returned as many results as it was given examples."""
    if not isinstance(results, Sequence) and not hasattr(results, "__len__"):
        raise PluginError(
            f"{who} must return a sequence, got {type(results).__name__} ({where} ...)."
        )
    if len(results) != number:
        raise PluginError(
            f"{who} returned {len(results)} results for {number} examples ({where} ...). "
            "Return one result per example."
        )


def _checked_result(who: str, result: Any, example: Example) -> torch.Tensor:
    if isinstance(result, Spans):
        try:
            result = project(result, example.offsets, len(example.response))
        except (ValueError, TypeError) as error:
            raise PluginError(f"{who}: {error}") from error
    values = _as_tensor(who, result)
    expected = len(example.response_ids)
    if values.dim() != 1 or len(values) != expected:
        found = f"{len(values)} values" if values.dim() == 1 else f"shape {list(values.shape)}"
        raise PluginError(
            f"{who}: got {found} for {expected} response tokens{_length_hint(values, example)}."
        )
    return require_finite(who, values)


def _as_tensor(who: str, result: Any) -> torch.Tensor:
    try:
        values = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_numbers(who, result) from error
    if values.requires_grad:
        raise PluginError(f"{who}: the values carry gradients. Score under torch.no_grad().")
    if values.is_complex():
        raise PluginError(f"{who}: the values are complex numbers.")
    if values.is_meta:
        raise PluginError(f"{who}: the values are on the device 'meta', which holds no numbers.")
    _require_dense(who, values)
    return values.to("cpu", torch.float32)


def _require_dense(who: str, values: torch.Tensor) -> None:
    if values.layout != torch.strided or values.is_nested or values.is_quantized:
        sort = "quantized" if values.is_quantized else "sparse or nested"
        raise PluginError(f"{who}: the tensor is {sort}; return a dense one of plain numbers.")


def _no_numbers(who: str, result: Any) -> PluginError:
    return PluginError(
        f"{who}: got {type(result).__name__}; return a list, array or 1-D tensor of numbers, "
        "or Spans."
    )


def _length_hint(values: torch.Tensor, example: Example) -> str:
    if values.dim() != 1:
        return " (1-D values, no padding and no batch dimension)"
    expected, found = len(example.response_ids), len(values)
    if found == expected + len(example.prompt_ids):
        return " (that is prompt + response: return the response tokens only)"
    if abs(found - expected) == 1:
        return " (off by one: shifted log-probs, or EOS left out?)"
    return " (another tokenizer? return character Spans and they will be aligned)"


def require_finite(who: str, values: torch.Tensor) -> torch.Tensor:
    """Return ``values``; raise ``PluginError`` naming the first one that is not finite."""
    bad = torch.nonzero(~torch.isfinite(values)).flatten()
    if len(bad):
        raise PluginError(
            f"{who}: {len(bad)} of {len(values)} values are not finite, first {values[bad[0]]} at "
            f"response token {int(bad[0])}."
        )
    return values


def checked_shape(who: str, result: Any, like: torch.Tensor) -> torch.Tensor:
    """Return what a plugin gave for ``like``: detached, float32, same shape, finite."""
    if not isinstance(result, torch.Tensor) or result.shape != like.shape:
        found = list(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        raise PluginError(f"{who}: got {found}, expected a tensor of shape {list(like.shape)}.")
    _require_dense(who, result)
    if result.is_complex() or result.is_meta:
        sort = "complex" if result.is_complex() else "on the device 'meta', which holds no numbers"
        raise PluginError(f"{who}: the values are {sort}.")
    return require_finite(who, result.detach().to("cpu", torch.float32))
