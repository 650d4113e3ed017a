"""Token heat maps: what is shown of scored pairs, without saying how (terminal, HTML)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.pairs import SIDES, Text, TokenizedResponse
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.reports.failure_signs import NEGLIGIBLE_STD
from tgdpo_core.reports.visible import SHARED, Piece, pieces

if TYPE_CHECKING:
    from tgdpo_core.scoring.pairs import ScoredPair

_Array = np.ndarray[Any, Any]

LEVELS = 8
"""Colour levels on each side of the middle."""

FIXED_REACH = 1.0
"""Of the fixed scale, the same for every data set: rewards from -1 to 1, weights from 0 to 2."""

_CLIPPED_AT = 0.95  # quantile of the distances from the middle: one outlier pales nothing else


@dataclass(frozen=True)
class Scale:
    """A diverging colour scale, symmetric around its middle.

    Attributes:
        middle: the value without colour: 0 for rewards, 1 for weights.
        reach: the distance from it that has the strongest colour, as have all beyond.
    """

    middle: float
    reach: float

    def level(self, value: float) -> int:
        """Return the colour of a value, from -LEVELS to LEVELS; 0 is the middle only."""
        distance = value - self.middle
        if distance == 0 or self.reach == 0:
            return 0
        size = min(LEVELS, max(1, round(LEVELS * abs(distance) / self.reach)))
        return size if distance > 0 else -size

    def ticks(self) -> tuple[str, str, str]:
        """Return the values at both ends and in the middle, lowest first."""
        low, high = self.middle - self.reach, self.middle + self.reach
        return number(low), number(self.middle), number(high)


@dataclass(frozen=True)
class HeatToken:
    """One response token.

    Attributes:
        pieces: its text.
        token_id: its id.
        reward: r, the sum of all sources.
        weight: f_w(r) or f_l(r).
        reference_logp: log pi_ref.
    """

    pieces: Sequence[Piece]
    token_id: int
    reward: float
    weight: float
    reference_logp: float


@dataclass(frozen=True)
class HeatResponse:
    """One response with its tokens, and their mean reward and weight.

    Attributes:
        side: chosen or rejected.
        tokens: those that are shown.
        mean_reward: over all tokens.
        mean_weight: over all tokens.
        num_left_out: tokens behind those that are shown.
    """

    side: Side
    tokens: Sequence[HeatToken]
    mean_reward: float
    mean_weight: float
    num_left_out: int = 0

    @property
    def num_tokens(self) -> int:
        """How many tokens the response has."""
        return len(self.tokens) + self.num_left_out


@dataclass(frozen=True)
class HeatPair:
    """A pair as it is shown.

    Attributes:
        where: its place in the data.
        prompt: as text.
        responses: chosen, rejected.
        number: of the training pair, from 0, as ``--rows`` has it; None where nobody counted.
        note: why it is shown.
    """

    where: str
    prompt: str
    responses: Sequence[HeatResponse]
    number: int | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """Number and place, the number only where it does not stand in the place already."""
        if self.number is None:
            return self.where
        return f"pair {self.number} ({self.where})"


@dataclass(frozen=True)
class Heatmap:
    """Everything that a heat map shows.

    Attributes:
        facts: label and value of what was scored (model, data, rewards, shaping).
        pairs: the pairs.
        reward_scale: colours of rewards, the same for all pairs.
        weight_scale: colours of weights.
        is_negligible: whether the weights hardly differ from one value (``failure_signs``).
    """

    facts: Sequence[tuple[str, str]]
    pairs: Sequence[HeatPair]
    reward_scale: Scale
    weight_scale: Scale
    is_negligible: bool = False


def heatmap(
    scored: "Sequence[ScoredPair]",
    *,
    facts: Sequence[tuple[str, str]],
    token_name: Callable[[int], str],
    numbers: Sequence[int] | None = None,
) -> Heatmap:
    """Return the heat map of scored pairs.

    Args:
        scored: the pairs to show.
        facts: label and value of what was scored.
        token_name: name of a token id, for tokens without text.
        numbers: of the pairs among the training pairs.
    """
    counted: Sequence[int | None] = numbers or [None] * len(scored)
    rewards = np.concatenate([pair.token_rewards.numpy() for pair in scored])
    weights = np.concatenate([pair.weights.numpy() for pair in scored])
    return Heatmap(
        facts=facts,
        pairs=[
            heat_pair(pair, token_name, number=number)
            for pair, number in zip(scored, counted, strict=True)
        ],
        reward_scale=scale_of(rewards, 0.0),
        weight_scale=scale_of(weights, 1.0),
        is_negligible=0 < float(weights.std()) < NEGLIGIBLE_STD,
    )


def number(value: float) -> str:
    """Return a value in at most four significant digits, with a real minus sign."""
    return f"{value + 0.0:.4g}".replace("-", "\N{MINUS SIGN}")  # + 0.0: no negative zero


def scale_of(values: _Array, middle: float) -> Scale:
    """Return the scale on which all but the outliers among values differ."""
    distances = np.abs(values - middle)
    distances = distances[distances > 0]
    return Scale(middle, float(np.quantile(distances, _CLIPPED_AT)) if len(distances) else 0.0)


def heat_pair(
    scored: "ScoredPair",
    token_name: Callable[[int], str],
    *,
    number: int | None = None,
    most_tokens: int | None = None,
    note: str = "",
) -> HeatPair:
    """Return what is shown of a scored pair.

    Args:
        scored: the pair.
        token_name: name of a token id, for tokens without text.
        number: of the training pair.
        most_tokens: that are shown of a response; None: all.
        note: why it is shown.
    """
    pair = scored.pair
    cut = len(pair.chosen.ids)
    columns = np.stack([scored.token_rewards, scored.weights, scored.reference_logps], axis=1)
    responses = [
        _response(side, pair.response(side), values, token_name)
        for side, values in zip(SIDES, (columns[:cut], columns[cut:]), strict=True)
    ]
    shown = [_beginning(response, most_tokens) for response in responses]
    return HeatPair(pair.pair.where, _as_text(pair.pair.prompt), shown, number, note)


def _beginning(response: HeatResponse, most_tokens: int | None) -> HeatResponse:
    if most_tokens is None or len(response.tokens) <= most_tokens:
        return response
    rest = len(response.tokens) - most_tokens
    return replace(response, tokens=response.tokens[:most_tokens], num_left_out=rest)


def _response(
    side: Side,
    response: TokenizedResponse,
    values: _Array,
    token_name: Callable[[int], str],
) -> HeatResponse:
    """Return a response; ``values`` is [T, 3]: reward, weight and reference log-prob."""
    tokens = []
    starts, ends = owned_ranges(response.offsets, len(response.text))
    reached = 0
    rows = zip(response.ids.tolist(), starts.tolist(), ends.tolist(), values.tolist(), strict=True)
    for token_id, start, end, (reward, weight, logp) in rows:
        if end > reached:
            shown = pieces(response.text[start:end])
        elif end > start:
            shown = [Piece(SHARED, "shared")]
        else:
            shown = [Piece(token_name(token_id), "special")]
        reached = max(reached, end)
        tokens.append(HeatToken(shown, token_id, reward, weight, logp))
    means = values.mean(axis=0).tolist() if len(values) else [0.0, 1.0]
    return HeatResponse(side, tokens, means[0], means[1])


def _as_text(prompt: Text) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)
