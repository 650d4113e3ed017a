"""What is done to a tile of logits between its two products: log-sum-exp, and its gradient.

In float32 (float64 for float64). On a CPU the steps run one after another, in place where that
saves a pass. On CUDA they are compiled into one kernel each, so that a tile is read once and its
gradient written once in the dtype of the products; single steps would move some 74 bytes a logit.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger(__name__)

Values = Callable[..., tuple[torch.Tensor, torch.Tensor]]
Gradient = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def values(device: torch.device) -> Values:
    """Return ``f(z, index, inside, scale, softcap)`` -> (log-sum-exp [n], target's logit [n])."""
    return _compiled(0, device) if device.type == "cuda" else eager_values


def gradient(device: torch.device) -> Gradient:
    """Return ``f(z, index, inside, lse, grad, scale, softcap, wants_sum)`` -> (dz, sum or None).

    ``dz`` is d loss / d (raw logits) of the tile in the dtype of ``z``, given d loss / d logps =
    ``grad``; the sum is over its tokens, in the dtype of ``lse``. ``z`` may be overwritten.
    """
    return _compiled(1, device) if device.type == "cuda" else eager_gradient


def state(device: torch.device) -> tuple[bool, str]:
    """Return whether tiles are fused on a device, and why or why not."""
    if device.type != "cuda":
        return False, "steps in place, as CPUs like them"
    _, error = _try_to_compile(device)
    return error is None, error or "log-sum-exp and gradient of a tile are compiled"


def eager_values(
    z: torch.Tensor,
    index: torch.Tensor,
    inside: torch.Tensor,
    scale: float,
    softcap: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See ``values``."""
    z = finished(z, scale, softcap)
    return torch.logsumexp(z, dim=-1), z.gather(1, index[:, None]).squeeze(1) * inside


def eager_gradient(  # noqa: PLR0913 - see ``gradient``
    z: torch.Tensor,
    index: torch.Tensor,
    inside: torch.Tensor,
    lse: torch.Tensor,
    grad: torch.Tensor,
    scale: float,
    softcap: float | None,
    wants_sum: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """See ``gradient``."""
    dtype = z.dtype
    z = finished(z, scale, softcap)
    slope = 1 - (z / softcap) ** 2 if softcap else None
    dz = z.sub_(lse[:, None]).exp_().mul_(-grad[:, None])
    dz.scatter_add_(1, index[:, None], (grad * inside)[:, None])
    if slope is not None:
        dz = dz.mul_(slope)
    if scale != 1.0:
        dz = dz.mul_(scale)
    return dz.to(dtype), dz.sum(0) if wants_sum else None


def fused_gradient(  # noqa: PLR0913 - see ``gradient``
    z: torch.Tensor,
    index: torch.Tensor,
    inside: torch.Tensor,
    lse: torch.Tensor,
    grad: torch.Tensor,
    scale: float,
    softcap: float | None,
    wants_sum: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what ``eager_gradient`` does, element by element, as a compiler can fuse it."""
    logits = finished(z, scale, softcap)
    columns = torch.arange(z.shape[1], device=z.device)
    is_target = (columns[None] == index[:, None]) & inside[:, None]
    dz = (is_target.to(logits.dtype) - (logits - lse[:, None]).exp()) * grad[:, None]
    if softcap:
        dz = dz * (1 - (logits / softcap) ** 2)
    dz = dz * scale
    return dz.to(z.dtype), dz.sum(0) if wants_sum else None


def finished(z: torch.Tensor, scale: float, softcap: float | None) -> torch.Tensor:
    """Return logits in float32 (float64 for float64), scaled and capped."""
    if z.dtype != torch.float64:
        z = z.float()
    if scale != 1.0:
        z = z * scale
    if softcap:
        z = softcap * torch.tanh(z / softcap)
    return z


def compiled(backend: str = "inductor") -> tuple[Values, Gradient]:
    """Return values and gradient, compiled for any number of tokens and any width of a tile."""
    settings: dict[str, Any] = {"dynamic": True, "backend": backend}
    return torch.compile(eager_values, **settings), torch.compile(fused_gradient, **settings)


def _compiled(which: int, device: torch.device) -> Any:
    functions, _ = _try_to_compile(device)
    return functions[which]


@functools.cache
def _try_to_compile(device: torch.device) -> tuple[tuple[Values, Gradient], str | None]:
    """Return the compiled functions, or the eager ones and what went wrong."""
    functions = compiled()
    z = torch.zeros(2, 256, device=device, dtype=torch.bfloat16)
    index = torch.zeros(2, device=device, dtype=torch.int64)
    one = torch.ones(2, device=device)
    try:
        functions[0](z, index, index == 0, 1.0, None)
        functions[1](z, index, index == 0, one, one, 1.0, None, False)
    # Whatever a compiler may raise; the answer is the same for all.
    except Exception as error:  # noqa: BLE001
        reason = f"not compiled ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        logger.warning("The head runs step by step, which is slower on a GPU: %s", reason)
        return (eager_values, eager_gradient), reason
    return functions, None
