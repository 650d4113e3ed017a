"""Reward diagnostics: what token rewards and weights look like before anything is trained."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.reports.distribution import Distribution, distribution, extremes
from tgdpo_core.reports.error_detection import ErrorDetection, detect_errors
from tgdpo_core.reports.failure_signs import FailureSign, failure_signs
from tgdpo_core.reports.reward_statistics import (
    RewardStatistics,
    TokenValues,
    WeightStatistics,
    reward_statistics,
    weight_statistics,
)
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.rounding import Rounding

_MOST_EXTREMES = 4
_PICTURES = ("distributions", "lowest_gaps", "highest_gaps")


@dataclass(frozen=True)
class Diagnostics:
    """Statistics of the training pairs, and the failure signs they show.

    Attributes:
        num_pairs: pairs.
        rewards: one entry per source, then their sum where there are several.
        chosen: f_w.
        rejected: f_l.
        warnings: failure signs.
        errors: how well low rewards mark known errors; None where none are known.
        distributions: of the rewards of every source, of their sum, of the weights; those that do
            not vary are left out.
        lowest_gaps: pairs with the lowest mean reward of the chosen minus that of the rejected
            response, lowest first; empty where the gaps do not vary.
        highest_gaps: those with the highest.
    """

    num_pairs: int
    rewards: Sequence[RewardStatistics]
    chosen: WeightStatistics
    rejected: WeightStatistics
    warnings: Sequence[FailureSign]
    errors: ErrorDetection | None = None
    distributions: Sequence[Distribution] = ()
    lowest_gaps: Sequence[int] = ()
    highest_gaps: Sequence[int] = ()

    @property
    def weight_ratio(self) -> float | None:
        """Mean f_w / mean f_l; None where mean f_l is 0."""
        return self.chosen.mean / self.rejected.mean if self.rejected.mean else None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, without what is only drawn."""
        values = dataclasses.asdict(self)
        kept = {name: value for name, value in values.items() if name not in _PICTURES}
        return {**kept, "weight_ratio": self.weight_ratio}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Diagnostics":
        """Return the diagnostics that ``dataclasses.asdict`` gave."""
        from pydantic import TypeAdapter

        known = {field.name: values[field.name] for field in dataclasses.fields(Diagnostics)}
        return TypeAdapter(Diagnostics).validate_python(known)


def diagnose(
    scored: Iterable[ScoredPair],
    sources: Sequence[tuple[str, Iterable[ScoredPair]]],
    *,
    is_error: Mapping[Side, np.ndarray[Any, Any]] | None = None,
    roundings: Sequence[Rounding | None] = (),
) -> Diagnostics:
    """Return the diagnostics of a training set.

    Args:
        scored: the pairs as they will be trained: summed rewards, weights.
        sources: name of every source with the same pairs scored by it alone; where there is only
            one, its pairs are not read, for they are ``scored``.
        is_error: [N] bool of the response tokens of each side, where errors are known.
        roundings: of the first sources, in their order: what was measured of their values.
    """
    rewards_w, rewards_l, weights_w, weights_l = _collect(scored)
    named = [(sources[0][0] if len(sources) == 1 else "sum", rewards_w, rewards_l)]
    if len(sources) > 1:
        labels = _labels([name for name, _ in sources])
        alone = zip(labels, sources, strict=True)
        named = [*((label, *_collect(pairs)[:2]) for label, (_, pairs) in alone), *named]
    statistics = [
        dataclasses.replace(reward_statistics(*each), rounding=rounding)
        for each, rounding in itertools.zip_longest(named, roundings)
    ]
    spread = [distribution(name, w.values, lo.values) for name, w, lo in named]
    spread.append(distribution("weight", weights_w.values, weights_l.values))
    lowest, highest = extremes(rewards_w.means() - rewards_l.means(), _MOST_EXTREMES)
    chosen, rejected = weight_statistics(weights_w), weight_statistics(weights_l)
    errors = None
    if is_error:
        values: dict[Side, Any] = {"chosen": rewards_w.values, "rejected": rewards_l.values}
        errors = detect_errors(values, is_error)
    return Diagnostics(
        num_pairs=len(rewards_w.lengths),
        rewards=statistics,
        chosen=chosen,
        rejected=rejected,
        warnings=failure_signs(statistics, chosen, rejected, errors),
        errors=errors,
        distributions=[each for each in spread if each],
        lowest_gaps=lowest,
        highest_gaps=highest,
    )


def _labels(names: Sequence[str]) -> list[str]:
    """Return the sources' names; those that stand twice with their index in the recipe."""
    return [n if names.count(n) == 1 else f"{n} (reward.{i})" for i, n in enumerate(names)]


def _collect(
    scored: Iterable[ScoredPair],
) -> tuple[TokenValues, TokenValues, TokenValues, TokenValues]:
    """Return rewards of chosen and rejected, then their weights."""
    parts: list[list[Any]] = [[], [], [], []]
    for pair in scored:
        cut = len(pair.pair.chosen.ids)
        rewards, weights = pair.token_rewards.numpy(), pair.weights.numpy()
        sides = (rewards[:cut], rewards[cut:], weights[:cut], weights[cut:])
        for part, values in zip(parts, sides, strict=True):
            part.append(values)
    rewards_w, rewards_l, weights_w, weights_l = (
        TokenValues(np.concatenate(part), np.array([len(values) for values in part]))
        for part in parts
    )
    return rewards_w, rewards_l, weights_w, weights_l
