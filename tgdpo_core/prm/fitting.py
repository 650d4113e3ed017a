"""The training loop of small models."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tgdpo_core.errors import NumericError

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""The label that is left out of a loss, as in transformers."""

NUM_WARMUP_STEPS = 50
FINAL_SHARE_OF_LEARNING_RATE = 0.05


def fit(  # noqa: PLR0913 - the settings of one training
    model: "torch.nn.Module",
    batches: "Iterable[tuple[torch.Tensor, torch.Tensor]]",
    *,
    loss_of: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]",
    num_steps: int,
    learning_rate: float,
    on_step: Callable[[float], None],
    num_warmup_steps: int = NUM_WARMUP_STEPS,
) -> None:
    """Train a model with AdamW, warm-up and cosine decay.

    Args:
        model: is changed in place.
        batches: ids and labels, both [S, T], padded on the right, where causal attention never
            looks: no attention mask is needed.
        loss_of: the loss of a batch, a scalar that depends on the model.
        num_steps: how many batches there will be.
        learning_rate: at its peak.
        on_step: is called after every step with its loss.
        num_warmup_steps: over which the learning rate rises.

    Raises:
        NumericError: a loss is not finite.
    """
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warmup_cosine(step, num_steps, num_warmup_steps)
    )
    model.train()
    for num_done, (ids_ST, labels_ST) in enumerate(batches):
        loss = loss_of(ids_ST, labels_ST)
        if not torch.isfinite(loss):
            raise NumericError(
                f"The loss is {loss.item()} after {num_done} steps. Lower the learning rate."
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        on_step(loss.item())
    model.eval()


def _warmup_cosine(step: int, num_steps: int, num_warmup_steps: int) -> float:
    """Return the learning rate of a step as a share of the peak."""
    warmup = min(1.0, (step + 1) / max(1, num_warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    floor = FINAL_SHARE_OF_LEARNING_RATE
    return warmup * (floor + (1 - floor) * cosine)
