"""The policy at which a loss stops falling: L-BFGS on the logits of every state."""

from dataclasses import dataclass

import torch

from tgdpo_core.errors import NumericError
from tgdpo_core.experiments.exact.losses import Objective
from tgdpo_core.experiments.exact.world import World

_MAX_ITERATIONS = 2000
_GRADIENT_GOAL = 1e-12  # below rounding: the descent ends where its line search finds no descent
_LARGEST_GRADIENT = 1e-8  # times beta, with which margins and their rounding grow
_HISTORY = 300  # above the number of logits that matter: a third of the steps that 50 needs


@dataclass(frozen=True)
class Minimum:
    """Where the descent came to rest: ``policy`` [S, A], its ``loss``."""

    policy: torch.Tensor
    loss: float


def minimise(world: World, objective: Objective, labels: torch.Tensor) -> Minimum:
    """Return the stationary point that descent from the reference reaches.

    Raises:
        NumericError: the largest gradient is still above ``_LARGEST_GRADIENT * beta``.
    """
    logits = world.reference.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [logits],
        max_iter=_MAX_ITERATIONS,
        max_eval=2 * _MAX_ITERATIONS,
        history_size=_HISTORY,
        line_search_fn="strong_wolfe",
        tolerance_grad=_GRADIENT_GOAL,
        tolerance_change=0,
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        result = objective.loss(world, logits.log_softmax(-1), labels)
        result.backward()
        return result

    optimizer.step(loss)
    least = loss().item()
    assert logits.grad is not None
    gradient = logits.grad.abs().max().item()
    allowed = _LARGEST_GRADIENT * objective.beta
    if not gradient <= allowed:
        raise NumericError(
            f"The exact world found no minimum at beta {objective.beta:g}: where the descent ends, "
            f"the largest gradient is {gradient:.1e}; at most {allowed:.1e} is allowed. "
            "Raise --beta or lower --alpha."
        )
    return Minimum(logits.detach().log_softmax(-1), least)
