"""The head of a model: which way its log-probs may be had, and the calls.

A head is called through its module, never by its weight alone: whatever hangs on the module (the
gathering of sharded weights, an adapter) then happens as it does in the model.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine import cut_cross_entropy, epilogue
from tgdpo_core.engine.distribution import Asked, Columns, ReferenceHead, of_hidden
from tgdpo_core.engine.logps import compute_dtype, token_logps
from tgdpo_core.errors import UsageError

# Attributes of a config that say how logits are scaled, and whether they multiply or divide.
_SCALES = {"logit_scale": 1, "logits_scaling": -1, "lm_head_multiplier": 1, "output_multiplier": 1}
_ROUNDING = 0.02  # of gradients of two bfloat16 kernels, relative


@dataclass(frozen=True)
class HeadSettings:
    """What a model does to its logits beyond weight and bias."""

    softcap: float | None
    scale: float


def head_settings(model: Any) -> HeadSettings:
    """Return soft-cap and scale of the logits as the model's config states them."""
    config = model.config.get_text_config()
    scale = 1.0
    for name, exponent in _SCALES.items():
        value = getattr(config, name, None)
        if isinstance(value, int | float):
            scale *= float(value) ** exponent
    return HeadSettings(getattr(config, "final_logit_softcapping", None), scale)


def is_plain_linear(output: Any) -> bool:
    """Return whether a head is ``hidden @ weight.T + bias`` and nothing else.

    An adapter on it, a quantised weight or a replaced forward are something else, although they
    have a ``weight``, too.
    """
    return (
        isinstance(output, torch.nn.Linear)
        and type(output).forward is torch.nn.Linear.forward
        and "forward" not in vars(output)
    )


def fused_logps(
    output: torch.nn.Linear,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    settings: HeadSettings,
    *,
    chunk_size: int | None,
    kernel: str,
) -> torch.Tensor:
    """Return [N] log-probs without [N, V] logits: the module is called, its product replaced.

    Raises:
        UsageError: what is wrapped around the module rounds what it returns.
    """

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        return token_logps(
            hidden,
            output.weight,
            targets,
            bias=output.bias,
            logit_softcap=settings.softcap,
            logit_scale=settings.scale,
            chunk_size=chunk_size,
            kernel=kernel,
        )

    with _replaced_forward(output, forward):
        result: torch.Tensor = output(hidden)
    return _as_returned(result)


def fused_columns(
    output: torch.nn.Linear,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    settings: HeadSettings,
    asked: Asked,
    *,
    chunk_size: int | None,
) -> tuple[torch.Tensor, Columns]:
    """Return [N, C] of what is asked without [N, V] logits: see ``distribution.of_hidden``.

    Raises:
        UsageError: as ``fused_logps``.
    """
    found: list[Columns] = []

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        dtype = compute_dtype(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            joined, columns = of_hidden(
                hidden,
                output.weight,
                output.bias,
                targets,
                asked,
                softcap=settings.softcap,
                scale=settings.scale,
                dtype=dtype,
                chunk_size=chunk_size,
            )
        found.append(columns)
        return joined

    with _replaced_forward(output, forward):
        joined: torch.Tensor = output(hidden)
    return _as_returned(joined), found[0]


def reference_head(model: Any) -> ReferenceHead:
    """Return a frozen copy of a model's head.

    Raises:
        UsageError: it is no plain linear layer, so its logits cannot be made from hidden states.
    """
    output = model.get_output_embeddings()
    if not is_plain_linear(output):
        raise UsageError(
            "The head of the reference is no plain linear layer "
            f"({type(output).__name__}): its distribution cannot be made from stored hidden "
            "states. Use a reference without an adapter or quantisation on its head."
        )
    settings = head_settings(model)
    bias = None if output.bias is None else output.bias.detach().clone()
    weight = output.weight.detach().clone()
    return ReferenceHead(weight, bias, settings.softcap, settings.scale)


def _as_returned(result: torch.Tensor) -> torch.Tensor:
    """Return what came back from the module; ``UsageError`` if something around it has rounded."""
    if result.dtype not in (torch.float32, torch.float64):
        raise UsageError(
            f"The head's log-probs come back as {result.dtype}: something around the head casts "
            "what it returns, as FSDP does with MixedPrecisionPolicy(output_dtype=...). Leave the "
            "output dtype unset, or make it float32."
        )
    return result


def finished_logits(output: Any, hidden: torch.Tensor, settings: HeadSettings) -> torch.Tensor:
    """Return [N, V] logits through whatever module the head is, scaled and capped."""
    return epilogue.finished(output(hidden), settings.scale, settings.softcap)


def module_logps(
    output: Any, hidden: torch.Tensor, targets: torch.Tensor, settings: HeadSettings
) -> torch.Tensor:
    """Return [N] log-probs through whatever module the head is; [N, V] logits exist."""
    logits = finished_logits(output, hidden, settings)
    return torch.log_softmax(logits, -1).gather(1, targets[:, None].to(logits.device)).squeeze(1)


def choose_kernel(
    device: torch.device, dtype: torch.dtype, settings: HeadSettings, *, plain: bool
) -> tuple[str, str]:
    """Return the kernel of the chunked head, and why.

    Args:
        device: where rows are computed.
        dtype: of the products.
        settings: of the head.
        plain: whether the head is a linear layer and nothing else.
    """
    if not plain:
        return "module", "the head is not a plain linear layer; its own logits are used"
    obstacle = cut_cross_entropy.obstacle(device, dtype, settings.scale)
    obstacle = obstacle or _disagreement(device, dtype, settings)
    if obstacle is None:
        return "cut-cross-entropy", "without its gradient filter, with float32 sums"
    is_fused, why = epilogue.state(device)
    return "fused tiles" if is_fused else "tiles", f"{obstacle}; {why}"


def _disagreement(device: torch.device, dtype: torch.dtype, settings: HeadSettings) -> str | None:
    """Return how far Cut Cross-Entropy is from our tiles on a small head, None where that is near.

    Values and gradients, for an upstream gradient of both signs.
    """
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 64, generator=generator) for n in (40, 300))
    targets = torch.randint(300, (40,), generator=generator).to(device)
    upstream = torch.linspace(-1, 1, 40, device=device)

    def results(kernel: str) -> list[torch.Tensor]:
        leaves = [t.to(device, dtype).requires_grad_() for t in (hidden, weight * 0.3)]
        cap = settings.softcap
        found = token_logps(leaves[0], leaves[1], targets, logit_softcap=cap, kernel=kernel)
        return [found.detach(), *torch.autograd.grad((found * upstream).sum(), leaves)]

    try:
        with torch.enable_grad():
            pairs = list(zip(results("cut-cross-entropy"), results("tiles"), strict=True))
    # Any kernel may fail here, in any way of its own; the answer is the same for all.
    except Exception as error:  # noqa: BLE001
        return f"cut-cross-entropy fails ({type(error).__name__}: {error})"
    worst = max(((a - b).float().norm() / b.float().norm()).item() for a, b in pairs)
    return None if worst <= _ROUNDING else f"cut-cross-entropy is off by {worst:.2g} of ours"


@contextlib.contextmanager
def _replaced_forward(
    module: torch.nn.Module, forward: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        del vars(module)["forward"]
