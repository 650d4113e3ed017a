"""From stored token rewards to token weights: scale, transforms, sum of sources, shaping."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.data.pairs import SIDES, TokenizedPair
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.scoring.checks import checked_shape
from tgdpo_core.scoring.fitted_transforms import is_fitted, require_stored_where_fitted
from tgdpo_core.scoring.guard import call_often, call_plugin, process_kept
from tgdpo_core.scoring.lazy_examples import LazyExamples
from tgdpo_core.scoring.origins import named
from tgdpo_core.scoring.sources import RewardSource

PairValues = tuple[torch.Tensor, torch.Tensor]
"""Values of the chosen and of the rejected response, 1-D float32 each."""

_looks_at_each: ContextVar[bool] = ContextVar("looks_at_each", default=False)


@dataclass(frozen=True)
class FittedTransform:
    """A transform with what ``fit`` returned on the training set."""

    source: str
    name: str
    transform: Transform
    state: Mapping[str, Any]

    def __str__(self) -> str:
        """How messages name it."""
        return _transform_name(self.name, self.transform, self.source)

    def __call__(self, rewards: torch.Tensor, example: Example, where: str) -> torch.Tensor:
        """Return the transformed rewards of one response, checked.

        Args:
            rewards: 1-D float32.
            example: the response.
            where: its place, for messages.

        Raises:
            PluginError: the transform failed, or returned another shape or values that are not
                finite.
        """
        who, place = str(self), f"{where} ({example.side})"
        like = rewards.view_as(rewards)  # keeps the shape, whatever is done to the tensor itself
        with _kept_by(who, place):
            result = call_often(who, place, self.transform, rewards, example, self.state)
        return checked_shape(f"{who}, {place}", result, like)


@dataclass(frozen=True)
class WeightedSource:
    """A source with its scale at the run's beta and its fitted transforms."""

    source: RewardSource
    scale: float
    transforms: Sequence[FittedTransform]

    def rewards(self, stored: torch.Tensor, pair: TokenizedPair) -> PairValues:
        """Return a pair's rewards from this source, weight included."""
        chosen, rejected = split_sides(stored * self.scale, pair)
        values = [chosen, rejected]
        if self.transforms:
            examples = [pair.example(side) for side in SIDES]
            for transform in self.transforms:
                values = [
                    transform(v, e, pair.pair.where) for v, e in zip(values, examples, strict=True)
                ]
        return values[0] * self.source.weight, values[1] * self.source.weight


def fit_source(
    source: RewardSource,
    *,
    beta: float,
    table: TokenTable | None,
    stored: Sequence[torch.Tensor] | None,
) -> WeightedSource:
    """Return the source with its transforms fitted, each on what the ones before it give.

    Args:
        source: a reward source.
        beta: the run's beta, for sources that are proportional to it.
        table: the training set; None for a dynamic source.
        stored: its stored values by row, [n] float32 each; None for a dynamic source.

    Raises:
        PluginError: a transform failed, or must be fitted on values that are not stored.
    """
    require_stored_where_fitted(source)
    fitted: list[FittedTransform] = []
    scale = call_plugin(str(source), "scale", source.reward.scale, beta)
    for name, transform in source.transforms:
        so_far = WeightedSource(source, scale, fitted)
        state: Mapping[str, Any] = {}
        if is_fitted(transform) and table is not None and stored is not None:
            rewards = [
                values
                for row in range(len(table))
                for values in so_far.rewards(stored[row], table[row])
            ]
            who = _transform_name(name, transform, str(source))
            state = call_plugin(
                who, "the training set", transform.fit, rewards, LazyExamples(table)
            )
            _require_json(who, state)
        fitted.append(FittedTransform(str(source), name, transform, state))
    return WeightedSource(source, scale, fitted)


@contextlib.contextmanager
def each_kept() -> Iterator[None]:
    """Look at the process around every single call of a transform or a shaping in the block.

    It takes longer than most calls: for when it is known that one of them left something behind,
    and not which one.

    Raises:
        PluginError: random states or settings of the process moved; it names the plugin.
    """
    before = _looks_at_each.set(True)
    try:
        yield
    finally:
        _looks_at_each.reset(before)


def _kept_by(who: str, where: str) -> contextlib.AbstractContextManager[None]:
    return process_kept(f"{who}, {where}") if _looks_at_each.get() else contextlib.nullcontext()


def _transform_name(name: str, transform: Transform, source: str) -> str:
    return f"{named('transform', name, transform)} of {source}"


def _require_json(who: str, state: Any) -> None:
    """Raise ``PluginError`` unless what ``fit`` returned can be kept in run.json as it is."""
    if not isinstance(state, Mapping):
        raise PluginError(f"{who}: fit must return a dict, got {type(state).__name__}.")
    try:
        json.dumps(dict(state), allow_nan=False)
    except Exception as error:  # whatever its values do when they are read
        raise PluginError(
            f"{who}: what fit returns is kept in run.json, and {dict(state)!r:.200} is no JSON: "
            f"{error}. Return finite numbers (float(x)), text, lists and dicts of these."
        ) from error


def token_weights(shaping: Shaping, name: str, rewards: PairValues, where: str) -> PairValues:
    """Return f_w and f_l of one pair, detached, float32, finite.

    Raises:
        PluginError: the shaping failed or returned another shape or values that are not finite.
    """
    who = named("shaping", name, shaping)
    # Clones: a shaping that works in place must not change the rewards that are logged.
    with _kept_by(who, where):
        result = call_often(who, where, shaping, *(r.clone() for r in rewards))
    if not isinstance(result, Sequence) or len(result) != 2:
        raise PluginError(
            f"{who}, {where}: expected the weights (f_w, f_l), got {type(result).__name__}."
        )
    f_w, f_l = result
    return (
        checked_shape(f"{who}, {where} (chosen)", f_w, rewards[0]),
        checked_shape(f"{who}, {where} (rejected)", f_l, rewards[1]),
    )


def swapped_weights(shaping: Shaping, rewards: PairValues) -> torch.Tensor:
    """Return the weights of a pair with its labels exchanged, [n] float32, chosen tokens first.

    They only describe the loss, so a shaping that has none for such rewards gives NaN, no error.
    """
    chosen, rejected = rewards
    try:
        f_w, f_l = shaping(rejected.clone(), chosen.clone())
        swapped = torch.cat([f_l, f_w]).detach().to("cpu", torch.float32)
    except Exception:  # noqa: BLE001 - a plugin, and only a metric is lost
        swapped = torch.empty(0)
    expected = len(chosen) + len(rejected)
    return swapped if len(swapped) == expected else torch.full((expected,), torch.nan)


def split_sides(values: torch.Tensor, pair: TokenizedPair) -> PairValues:
    """Return the chosen and the rejected part of a pair's flat values."""
    chosen, rejected = values.split([len(pair.chosen.ids), len(pair.rejected.ids)])
    return chosen, rejected
