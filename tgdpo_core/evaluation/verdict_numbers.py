"""The numbers of a verdict, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tgdpo_core.evaluation.both_orders import PositionBias
from tgdpo_core.evaluation.intervals import Estimate
from tgdpo_core.evaluation.judge_agreement import Agreement
from tgdpo_core.evaluation.length_control import LengthControlled


@dataclass(frozen=True)
class ModelSummary:
    """What is known of a model's answers beside what judges say.

    Attributes:
        model: its name.
        num_answers: all of them.
        num_empty: answers without a visible character.
        num_tokens: mean length; no value where it is not known.
        finished: share of the answers that the model ended itself, of those where it is known.
        kl: KL(policy || reference) of an answer, nats.
    """

    model: str
    num_answers: int
    num_empty: int
    num_tokens: Estimate
    finished: Estimate
    kl: Estimate


@dataclass(frozen=True)
class ScoreSummary:
    """What a judge of answers says of a model.

    Attributes:
        judge, model: names.
        mean: over prompts, after the mean over the draws of a prompt.
        difference: to the baseline, of the prompts where both have a score; no value for itself.
        higher: share of these prompts where its score is higher than the baseline's; an equal one
            is half.
        num_prompts: with a score.
        unjudged: answers without a score, by reason.
    """

    judge: str
    model: str
    mean: Estimate
    difference: Estimate
    higher: Estimate
    num_prompts: int
    unjudged: Mapping[str, int]


@dataclass(frozen=True)
class WinRate:
    """How often a judge of comparisons finds a model better than another; a tie is half.

    Attributes:
        judge, model, other: names.
        rate: over prompts.
        wins, ties, losses: comparisons, after both orders are put together: above, at and below a
            half.
        num_prompts: with a verdict.
        unjudged: comparisons without a verdict in one order at least, by reason.
        length_controlled: against the baseline only; None also with too few prompts.
    """

    judge: str
    model: str
    other: str
    rate: Estimate
    wins: int
    ties: int
    losses: int
    num_prompts: int
    unjudged: Mapping[str, int]
    length_controlled: LengthControlled | None = None


@dataclass(frozen=True)
class Strength:
    """A model's place among all of them, see ``bradley_terry``.

    Attributes:
        judge, model: names.
        strength: nats above the baseline; no value where it is infinite or not known.
        note: why there is no value, else empty.
    """

    judge: str
    model: str
    strength: Estimate
    note: str = ""


@dataclass(frozen=True)
class Position:
    """Whether a judge prefers what it is shown first.

    Attributes:
        judge: its name.
        bias: over the comparisons that were judged in both orders.
        one_order: comparisons that were asked in one order only; theirs cannot be seen.
    """

    judge: str
    bias: PositionBias
    one_order: int


@dataclass(frozen=True)
class VerdictSummary:
    """All numbers of a verdict.

    ``num_difficulties`` is the number of prompts with an ``instruction_difficulty``.
    """

    baseline: str
    num_prompts: int
    num_difficulties: int
    models: tuple[ModelSummary, ...]
    scores: tuple[ScoreSummary, ...]
    win_rates: tuple[WinRate, ...]
    strengths: tuple[Strength, ...]
    positions: tuple[Position, ...]
    agreements: tuple[Agreement, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON; None where a number is not defined."""
        return {
            **asdict(self),
            "positions": [{**asdict(p), "bias": p.bias.as_dict()} for p in self.positions],
        }

    def of_model(self, model: str, judge: str) -> dict[str, Any]:
        """Return JSON of what a judge says of one model, and of how long its answers are."""

        def mine(listed: Sequence[ScoreSummary | WinRate | Strength]) -> list[dict[str, Any]]:
            return [asdict(e) for e in listed if (e.model, e.judge) == (model, judge)]

        found = {
            "scores": mine(self.scores),
            "win_rates": mine(self.win_rates),
            "strengths": mine(self.strengths),
        }
        return {
            "model": model,
            "baseline": self.baseline,
            "num_prompts": self.num_prompts,
            "answers": next(asdict(each) for each in self.models if each.model == model),
            **{name: said for name, said in found.items() if said},
        }
