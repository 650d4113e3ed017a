"""Which layout and which head a model can be trusted with: asked of the model itself, in numbers.

Sharing a prompt between two responses works only where every layer asks our attention function, and
nothing else mixes positions (ALiBi inside the model, state-space layers, chunked attention, ...).
A model that does not ask raises no error, it only gives other numbers. So random pairs are computed
both ways, and what does not agree is not used.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tgdpo_core.engine import attention
from tgdpo_core.engine.rows import PackedRow, PairIds, pad_pairs, share_pairs

# Attributes of a config that say how logits are scaled, and whether they multiply or divide.
_SCALES = {"logit_scale": 1, "logits_scaling": -1, "lm_head_multiplier": 1, "output_multiplier": 1}
_SHAREABLE_LAYERS = {"full_attention", "sliding_attention"}
# Rotary embeddings that depend on the longest sequence of a row once it passes a limit.
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
_LONGEST_PROMPT = 600
# Largest |difference| of a log-prob that rounding explains; a wrong mask is off by 0.1 to 2.
_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}
_HALF_ROUNDING = 0.05


@dataclass(frozen=True)
class HeadSettings:
    """What a model does to its logits beyond weight and bias."""

    softcap: float | None
    scale: float


@dataclass(frozen=True)
class Choice:
    """What the probe found.

    Attributes:
        layout: ``share`` (every prompt once) or ``pad``.
        layout_reason: why.
        head: ``chunked`` (hidden states and the chunked head) or ``model`` (the model's logits).
        head_reason: why.
    """

    layout: Literal["share", "pad"]
    layout_reason: str
    head: Literal["chunked", "model"]
    head_reason: str


Logps = Callable[..., torch.Tensor]
"""``logps(row, head=...)`` -> [N] float32."""


def head_settings(model: Any) -> HeadSettings:
    """Return soft-cap and scale of the logits as the model's config states them."""
    config = model.config.get_text_config()
    scale = 1.0
    for name, exponent in _SCALES.items():
        value = getattr(config, name, None)
        if isinstance(value, int | float):
            scale *= float(value) ** exponent
    return HeadSettings(getattr(config, "final_logit_softcapping", None), scale)


@torch.no_grad()
def probe(model: Any, logps: Logps, *, may_share: bool) -> Choice:
    """Return the layout and the head whose numbers equal one plain forward per sequence.

    Args:
        model: on the device and in the dtype it will be used in.
        logps: computes a row by either head, switching the attention as the row needs it.
        may_share: False to ask for padded rows.
    """
    before = attention.plain_implementation(model)
    model.set_attn_implementation(before)
    pairs = _probe_pairs(model)
    with _evaluating(model):
        expected = _separate_logps(model, pairs)
        padded = pad_pairs(pairs).to(model.device)
        noise = _difference(logps(padded, head="model"), expected)
        allowed = max(_ROUNDING.get(model.dtype, _HALF_ROUNDING), 5 * noise)
        head, head_reason = _choose_head(padded, expected, logps, allowed)
        try:
            layout, reason = _choose_layout(
                model, pairs, expected, lambda row: logps(row, head=head), allowed, may_share
            )
        finally:
            model.set_attn_implementation(before)
    return Choice(layout, reason, head, head_reason)


def plain_logps(forward: Callable[..., Any], row: PackedRow) -> torch.Tensor:
    """Return [N] float32 log-probs of a row through the model's own head."""
    logits = forward(**row.inputs()).logits
    chosen = logits.flatten(0, 1).index_select(0, row.source).float()
    return torch.log_softmax(chosen, -1).gather(1, row.targets[:, None]).squeeze(1)


def _choose_head(
    row: PackedRow, expected: torch.Tensor, logps: Logps, allowed: float
) -> tuple[Literal["chunked", "model"], str]:
    try:
        found = logps(row, head="chunked")
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        return "model", f"the decoder cannot be called alone ({error})"
    worst = _difference(found, expected)
    if not worst <= allowed:
        return "model", f"decoder and head are off by {worst:.2g} (allowed {allowed:.1g})"
    return "chunked", f"decoder and head equal the model's logits within {worst:.1g}"


def _choose_layout(
    model: Any,
    pairs: list[PairIds],
    expected: torch.Tensor,
    logps: Callable[[PackedRow], torch.Tensor],
    allowed: float,
    may_share: bool,
) -> tuple[Literal["share", "pad"], str]:
    obstacle = "padded rows were asked for" if not may_share else _structural_obstacle(model)
    if obstacle:
        return "pad", obstacle
    row = share_pairs(pairs).to(model.device)
    try:
        with attention.counted() as calls:
            found = logps(row)
    # Any model may end up here, with any error of its own; the answer is the same for all.
    except Exception as error:  # noqa: BLE001
        return "pad", f"a shared row fails: {type(error).__name__}: {error}"
    layers = model.config.get_text_config().num_hidden_layers
    if calls.count != layers:
        return "pad", f"{calls.count} of {layers} layers use the attention function"
    worst = _difference(found, expected)
    if not worst <= allowed:
        return "pad", f"shared rows are off by {worst:.2g} (allowed {allowed:.1g})"
    return "share", f"shared rows equal one forward per sequence within {worst:.1g}"


def _structural_obstacle(model: Any) -> str | None:
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ()) - _SHAREABLE_LAYERS
    if layers:
        return f"layers of type {', '.join(sorted(layers))}"
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {rope.get("rope_type")} | {
        value.get("rope_type") for value in rope.values() if isinstance(value, dict)
    }
    if kinds & _LENGTH_DEPENDENT_ROPE:
        return "rotary embeddings that depend on the length of the row"
    return None


def _separate_logps(model: Any, pairs: list[PairIds]) -> torch.Tensor:
    """Return the truth: one plain forward per sequence, nothing padded, nothing shared."""
    parts = []
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            alone = pad_pairs([PairIds(pair.prompt, response, ())])
            parts.append(plain_logps(model, alone.to(model.device)))
    return torch.cat(parts)


def _probe_pairs(model: Any) -> list[PairIds]:
    """Return two pairs of fixed token ids; the first prompt is longer than a sliding window."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 0
    positions = getattr(config, "max_position_embeddings", None) or _LONGEST_PROMPT
    prompt = min(max(window + 9, 40), _LONGEST_PROMPT, positions - 12)
    lengths = iter(((prompt, 7, 11), (5, 9, 3)))
    counter = iter(range(10**6))

    def ids(length: int) -> list[int]:
        # Not a period that attention could see through, the same on every machine.
        return [
            int(config.vocab_size * math.modf(next(counter) * 0.618033988749895)[0])
            for _ in range(length)
        ]

    return [PairIds(ids(p), ids(c), ids(r)) for p, c, r in lengths]


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
