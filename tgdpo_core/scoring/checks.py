"""The contract of plugins, held at the door: what they return is checked before it is used."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.data.alignment import project
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Example, Spans
from tgdpo_core.scoring.plugin_errors import named_errors


def kept(examples: Sequence[Example]) -> list[Example]:
    """Return examples to check results by, made before a plugin is given the examples themselves.

    A plugin can change its own in spite of ``frozen`` (``object.__setattr__``), and then an answer
    of any length would fit them.
    """
    return [copy.copy(example) for example in examples]


def checked_rewards(
    who: str, results: Any, examples: Sequence[Example], where: Sequence[str]
) -> list[torch.Tensor]:
    """Return one finite 1-D float32 tensor per example, spans projected.

    Args:
        who: how messages name the plugin.
        results: what ``score`` returned.
        examples: what it was given, ``kept`` from before the call.
        where: the place of each example, for messages.

    Raises:
        PluginError: wrong count, shape or length, a gradient, or values that are not finite.
    """
    found = one_each(who, results, len(examples), where[0])
    return [
        _checked_result(f"{who}, {place} ({example.side})", result, example)
        for result, example, place in zip(found, examples, where, strict=True)
    ]


def one_each(who: str, results: Any, number: int, where: str) -> list[Any]:
    """Return the results of a plugin as a list; ``PluginError`` unless there is one per example."""
    # A dict or set has a length, and no order that belongs to the examples.
    if not hasattr(results, "__len__") or isinstance(results, Mapping | set | frozenset):
        raise PluginError(
            f"{who} must return a sequence, got {type(results).__name__} ({where} ...)."
        )
    with named_errors(who, f"its results for {where} ..."):  # a class of its own may do anything
        length, found = len(results), list(results)
    if length != number or len(found) != number:
        raise PluginError(
            f"{who} returned {length if length != number else len(found)} results for {number} "
            f"examples ({where} ...). Return one result per example."
        )
    return found


def _checked_result(who: str, result: Any, example: Example) -> torch.Tensor:
    if isinstance(result, Spans):
        try:
            result = project(result, example.offsets, len(example.response))
        except Exception as error:  # whatever its values do when they are read
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
    if isinstance(result, np.ma.MaskedArray):
        raise PluginError(
            f"{who}: got a masked array, whose mask says that some tokens have no value: every "
            "token needs one. Return array.filled(0.0), or what such tokens are worth."
        )
    try:
        values = torch.as_tensor(result)
    except Exception as error:  # whatever its values do when they are read
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
        f"{who}: got {type(result).__name__}{_first_that_is_none(result)}; return a list, array or "
        "1-D tensor of numbers, or Spans."
    )


def _first_that_is_none(result: Any) -> str:
    """Return where a list first holds what is no number, in words; empty where that is not it."""
    if not isinstance(result, list | tuple | np.ndarray) or getattr(result, "ndim", 1) != 1:
        return ""
    for token, value in enumerate(result):
        try:
            torch.as_tensor(value)
        except Exception as error:  # noqa: BLE001 - whatever the value does when it is read
            shown = f"a {type(value).__name__}"
            if isinstance(value, int | float):
                shown = f"a number that no tensor holds ({error})"
            return f", whose value of response token {token} is {shown}"
    return ""


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
