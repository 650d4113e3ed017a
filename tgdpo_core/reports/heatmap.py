"""Token heat maps: what is shown of scored pairs, without saying how (terminal, HTML)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.data.alignment import owned_ranges
from tgdpo_core.data.pairs import SIDES, Text, TokenizedResponse
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.reports.visible import SHARED, Piece, pieces
from tgdpo_core.scoring.pairs import ScoredPair

_Array = np.ndarray[Any, Any]

LEVELS = 8
"""Colour levels on each side of the middle."""

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
    """One response with its tokens, and their mean reward and weight."""

    side: Side
    tokens: Sequence[HeatToken]
    mean_reward: float
    mean_weight: float


@dataclass(frozen=True)
class HeatPair:
    """A pair: where it stands in the data, its prompt as text, and both responses."""

    where: str
    prompt: str
    responses: Sequence[HeatResponse]


@dataclass(frozen=True)
class Heatmap:
    """Everything that a heat map shows.

    Attributes:
        facts: label and value of what was scored (model, data, rewards, shaping).
        pairs: the pairs.
        reward_scale: colours of rewards, the same for all pairs.
        weight_scale: colours of weights.
    """

    facts: Sequence[tuple[str, str]]
    pairs: Sequence[HeatPair]
    reward_scale: Scale
    weight_scale: Scale


def heatmap(
    scored: Sequence[ScoredPair],
    *,
    facts: Sequence[tuple[str, str]],
    token_name: Callable[[int], str],
) -> Heatmap:
    """Return the heat map of scored pairs.

    Args:
        scored: the pairs to show.
        facts: label and value of what was scored.
        token_name: name of a token id, for tokens without text.
    """
    rewards = np.concatenate([pair.token_rewards.numpy() for pair in scored])
    weights = np.concatenate([pair.weights.numpy() for pair in scored])
    return Heatmap(
        facts=facts,
        pairs=[_pair(pair, token_name) for pair in scored],
        reward_scale=_scale(rewards, 0.0),
        weight_scale=_scale(weights, 1.0),
    )


def number(value: float) -> str:
    """Return a value in at most four significant digits, with a real minus sign."""
    return f"{value + 0.0:.4g}".replace("-", "\N{MINUS SIGN}")  # + 0.0: no negative zero


def _scale(values: _Array, middle: float) -> Scale:
    distances = np.abs(values - middle)
    distances = distances[distances > 0]
    return Scale(middle, float(np.quantile(distances, _CLIPPED_AT)) if len(distances) else 0.0)


def _pair(scored: ScoredPair, token_name: Callable[[int], str]) -> HeatPair:
    pair = scored.pair
    cut = len(pair.chosen.ids)
    columns = np.stack([scored.token_rewards, scored.weights, scored.reference_logps], axis=1)
    responses = [
        _response(side, pair.response(side), values, token_name)
        for side, values in zip(SIDES, (columns[:cut], columns[cut:]), strict=True)
    ]
    return HeatPair(pair.pair.where, _as_text(pair.pair.prompt), responses)


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
