"""Which layout and which head a model can be trusted with: asked of the model itself, in numbers.

Sharing a prompt between two responses works only where every layer asks our attention function, and
nothing else mixes positions (ALiBi inside the model, state-space layers, chunked attention, ...).
A model that does not ask raises no error, it only gives other numbers. So random pairs are computed
both ways, and what does not agree is not used.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from tgdpo_core.engine import attention
from tgdpo_core.engine.attention import Backend, UnsupportedAttentionError
from tgdpo_core.engine.choice import Backends, Choice, Request
from tgdpo_core.engine.head import choose_kernel, head_settings, is_plain_linear
from tgdpo_core.engine.rows import PackedRow, PairIds, device_of, pad_pairs, share_pairs

logger = logging.getLogger(__name__)

_SHAREABLE_LAYERS = {"full_attention", "sliding_attention"}
# Rotary embeddings that depend on the longest sequence of a row once it passes a limit.
_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
_LONGEST_PROMPT = 600
# Largest |difference| of a log-prob that rounding explains; a wrong mask is off by 0.1 to 2.
_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}
_HALF_ROUNDING = 0.05
_HALF = (torch.float16, torch.bfloat16)
# A router decides near-ties by rounding, so a few tokens of a right row go to other experts and are
# far off; a wrong mask moves all tokens of a response.
_MOST = 0.75


Logps = Callable[..., torch.Tensor]
"""``logps(row, head=..., backend=...)`` -> [N] float32."""


@torch.no_grad()
def probe(model: Any, logps: Logps, request: Request) -> tuple[Choice, Backends]:
    """Return layout, head and attention whose numbers equal one plain forward per sequence.

    Args:
        model: on the device and in the dtype it will be used in.
        logps: computes a row by a head and a backend, switching the attention as the row needs it.
        request: what is wanted.
    """
    try:
        with _evaluating(model):
            return _Probe(model, logps, request).choose()
    finally:
        model.set_attn_implementation(attention.plain_implementation(model))


class _Probe:
    """The pairs, the truth about them, and the choices that follow."""

    def __init__(self, model: Any, logps: Logps, request: Request) -> None:
        self._model, self._logps, self._request = model, logps, request
        self._pairs = _probe_pairs(model)
        self._device = device_of(model).type
        self._measure()

    def _measure(self) -> None:
        """Note the truth and what rounding explains, in the precision that is in force."""
        self._model.set_attn_implementation(attention.plain_implementation(self._model))
        self._expected = _separate_logps(self._model, self._pairs)
        self._padded = pad_pairs(self._pairs).to(device_of(self._model))
        dtype = compute_dtype(self._model)
        self._quantile = _MOST if dtype in _HALF and _has_router(self._model) else 1.0
        noise = self._difference(self._logps(self._padded, head="model"))
        self._allowed = max(_ROUNDING.get(dtype, _HALF_ROUNDING), 5 * noise)

    def choose(self) -> tuple[Choice, Backends]:
        """Return the choices, for the model's own precision and for autocast."""
        head, head_reason = self._choose_head()
        kernel, kernel_reason = self._head_kernel(head)
        autocast = self._autocast()
        # Rows of float32 are the exception beside autocast: no kernel is compiled for them.
        wanted = "segments" if autocast else self._request.attention
        layout, reason, full = self._choose_layout(head, wanted)
        backend, why = full if full else (None, "rows are padded")
        half = backend
        if backend and autocast:
            with torch.autocast(self._device, dtype=autocast):
                self._measure()
                layout, reason_half, found = self._choose_layout(head, self._request.attention)
                reason = f"{reason}; under autocast: {reason_half}"
                if found:
                    half, why = found[0], f"{found[1]}; without autocast {backend.name}: {why}"
        name = half.name if half and layout == "share" else "plain"
        choice = Choice(layout, reason, head, head_reason, name, why, kernel, kernel_reason)
        logger.info("Rows: %s; attention: %s (%s); head: %s", layout, name, why, kernel)
        fallback = attention.make("segments")
        return choice, Backends(backend or fallback, half or fallback)

    def _autocast(self) -> torch.dtype | None:
        if self._request.autocast:
            return self._request.autocast
        wide = compute_dtype(self._model) == torch.float32
        return torch.bfloat16 if wide and self._device == "cuda" else None

    def _head_kernel(self, head: str) -> tuple[str, str]:
        if head == "model":
            return "model", "the model's own logits are used"
        model = self._model
        dtype = self._autocast() or compute_dtype(model)
        plain = is_plain_linear(model.get_output_embeddings())
        return choose_kernel(device_of(model), dtype, head_settings(model), plain=plain)

    def _choose_head(self) -> tuple[Literal["chunked", "model"], str]:
        try:
            found = self._logps(self._padded, head="chunked")
        except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
            return "model", f"the decoder cannot be called alone ({error})"
        worst = self._difference(found)
        if not worst <= self._allowed:
            return "model", f"decoder and head are off by {worst:.2g} (allowed {self._allowed:.1g})"
        return "chunked", f"decoder and head equal the model's logits within {worst:.1g}"

    def _choose_layout(
        self, head: str, wanted: str
    ) -> tuple[Literal["share", "pad"], str, tuple[Backend, str] | None]:
        """Return the layout, why, and the backend of shared rows with its own reason."""
        asked = self._request.layout == "auto"
        obstacle = _structural_obstacle(self._model) if asked else "padded rows were asked for"
        if obstacle:
            return "pad", obstacle, None
        row = share_pairs(self._pairs, multiple=self._request.row_multiple)
        row = row.to(device_of(self._model))
        refused: list[str] = []
        reason = ""
        for name in attention.candidates(wanted, self._device):
            try:
                backend = attention.make(name)
                reason, is_right = self._try(row, head, backend)
            except UnsupportedAttentionError as error:  # known beforehand: nothing is wrong
                reason = f"a shared row fails: {type(error).__name__}: {error}"
                refused.append(f"{name}: {error}")
                continue
            except _DoesNotCallUsError as error:
                return "pad", str(error), None
            # Any model may end up here, with any error of its own; the answer is the same for all.
            except Exception as error:  # noqa: BLE001
                reason = f"a shared row fails: {type(error).__name__}: {error}"
            else:
                if is_right:
                    why = "; ".join([backend.what, *(f"not {line}" for line in refused)])
                    return "share", reason, (backend, why)
            logger.warning("Attention '%s' is not used: %s.", name, reason)
            refused.append(f"{name}: {reason}")
        return "pad", reason, None

    def _difference(self, found: torch.Tensor) -> float:
        """Return the largest difference to the truth, or the one that most tokens are within."""
        return (found.double() - self._expected.double()).abs().quantile(self._quantile).item()

    def _try(self, row: PackedRow, head: str, backend: Backend) -> tuple[str, bool]:
        """Return what came out of a shared row through a backend, and whether it is right."""
        recorder = attention.Recorder(backend)
        with attention.counted() as calls:
            found = self._logps(row, head=head, backend=recorder)
        layers = self._model.config.get_text_config().num_hidden_layers
        if calls.count != layers:
            raise _DoesNotCallUsError(
                f"{calls.count} of {layers} layers use the attention function"
            )
        worst = self._difference(found)
        if not worst <= self._allowed:
            return f"shared rows are off by {worst:.2g} (allowed {self._allowed:.1g})", False
        # Segments are torch's own attention, whose backward needs no proof at every start.
        wrong = None if backend.name == "segments" else recorder.wrong_gradient()
        equal = f"shared rows equal one forward per sequence within {worst:.1g}"
        return wrong or equal, wrong is None


class _DoesNotCallUsError(Exception):
    """Layers that go past the attention function: no backend could help."""


def compute_dtype(model: Any) -> torch.dtype:
    """Return the dtype that a model's products are computed in, here and now."""
    kind = device_of(model).type
    if torch.is_autocast_enabled(kind) and model.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    dtype: torch.dtype = model.dtype
    return dtype


def plain_logps(
    forward: Callable[..., Any], row: PackedRow, inputs: dict[str, Any]
) -> torch.Tensor:
    """Return [N] float32 (float64 of float64) log-probs of a row through the model's own head."""
    logits = forward(**inputs).logits
    chosen = logits.flatten(0, 1).index_select(0, row.source)
    chosen = chosen if chosen.dtype == torch.float64 else chosen.float()
    return torch.log_softmax(chosen, -1).gather(1, row.targets[:, None]).squeeze(1)


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
            alone = alone.to(device_of(model))
            parts.append(plain_logps(model, alone, alone.inputs()))
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


def _has_router(model: Any) -> bool:
    """Return whether tokens choose among experts."""
    config = model.config.get_text_config()
    names = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    return any((getattr(config, name, None) or 0) > 1 for name in names)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
