"""What a run optimises, in words: token rewards, shaping, loss."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tgdpo_cli.output import options_text

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan
    from tgdpo_core.scoring.sources import RewardSource


def objective_lines(plan: "Plan") -> Iterator[str]:
    """Yield a line for each token reward, and one each for shaping and loss."""
    for source in plan.sources:
        yield f"Reward: {source}{_listed(source.reward.options())}{_rest(source)}"
    name, shaping = plan.shaping
    yield f"Shaping: {name}{_listed(shaping.options())}"
    name, loss = plan.loss
    yield f"Loss: {name}, beta {plan.recipe.loss.beta:g}{_listed(loss.options())}"


def _rest(source: "RewardSource") -> str:
    transforms = "".join(f" | {name}{_listed(t.options())}" for name, t in source.transforms)
    return f"{transforms}, weight {source.weight:g}"


def _listed(options: dict[str, Any]) -> str:
    """Return options that are set, in brackets."""
    shown = options_text(options)
    return f" ({shown})" if shown else ""
