"""Whether an optimizer step may be done: found on the device, read by the host once."""

from typing import NamedTuple

import torch

from tgdpo_core.training.durability.agreement import any_flag_on_device


class StepHealth(NamedTuple):
    """What is known of a step between its gradients and its update.

    Attributes:
        norm: of the gradient.
        has_bad_loss: a loss is not finite, in any process.
        has_bad_norm: the norm is not finite, in any process.
        stops: any process was told to stop.
    """

    norm: float
    has_bad_loss: bool
    has_bad_norm: bool
    stops: bool


def step_health(finite: torch.Tensor, norm: torch.Tensor, *, told_to_stop: bool) -> StepHealth:
    """Return the health of a step: the only time in it that the host waits for the device.

    Every process must call this.

    Args:
        finite: [] bool, whether the losses of this process are.
        norm: [] of the gradient, on the same device.
        told_to_stop: whether this process was.
    """
    flags = torch.stack([~finite, ~norm.isfinite(), torch.full_like(finite, told_to_stop)])
    flags = any_flag_on_device(flags)
    dtype = torch.promote_types(norm.dtype, torch.float32)
    found, *raised = torch.cat([norm.to(dtype)[None], flags.to(dtype)]).tolist()
    return StepHealth(found, *(bool(flag) for flag in raised))
