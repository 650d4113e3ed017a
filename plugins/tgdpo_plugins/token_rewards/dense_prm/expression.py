"""How a reward is expressed: probabilities as numbers on another scale, steps on tokens."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tgdpo_plugins.token_rewards.dense_prm.presets import Output, Placement
from tgdpo_plugins.token_rewards.step_sums import step_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEUTRAL: dict[Output, float] = {"prob": 0.5, "signed": 0.0, "logit": 0.0, "value": 0.0}
"""What stands before the first step: even odds, or a value of 0."""


def express(logits: "NDArray[Any]", output: Output, *, clip: float) -> "NDArray[Any]":
    """Return log-odds of 'good', or raw values, on the scale asked for; float64, same shape.

        prob    p = 1 / (1 + exp(-z))
        signed  2 p - 1
        logit   z, so that p stays in [clip, 1 - clip]
        value   z as it is

    Args:
        logits: z: log p/(1-p), or what a value head says.
        output: the scale.
        clip: smallest probability told apart from 0 by ``logit``.
    """
    z = np.asarray(logits, dtype=np.float64)
    if output == "value":
        return z
    if output == "logit":
        bound = math.log((1 - clip) / clip)
        return z.clip(-bound, bound)
    # tanh(z/2) = 2p - 1 does not overflow.
    signed = np.tanh(z / 2)
    return signed if output == "signed" else (1 + signed) / 2


def place_steps(
    values: "NDArray[Any]",
    ends: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    placement: Placement,
    *,
    neutral: float,
) -> "NDArray[Any]":
    """Return [T] float64: values of steps on the policy's tokens.

        broadcast  every token of a step gets its value
        delta      every token of step k gets v_k - v_{k-1}, v_0 = neutral
        spread     every token gets an equal part of its step's value
        last       the last token of a step gets it, the others 0

    A token belongs to the step that holds its last character, EOS to the last one. A step without
    a token of its own leaves its value, where sums are kept, to the step behind it. A response
    without a step is neutral.

    Args:
        values: [K] one per step.
        ends: where each step ends in the response, ascending.
        offsets: character ranges of the T response tokens.
        placement: see above.
        neutral: value before the first step.
    """
    if not len(values):
        return np.full(len(offsets), neutral if placement == "broadcast" else 0.0)
    if placement in ("spread", "last"):
        # By its first character: the last one may be in a token of the next step.
        ranges = [(start, start + 1) for start in (0, *ends[:-1])]
        place: Literal["spread", "last"] = "spread" if placement == "spread" else "last"
        return step_sums(values, ranges, onto=offsets, ends=ends, place=place)
    if placement == "delta":
        values = np.diff(values, prepend=neutral)
    token_ends = np.maximum.accumulate([end for _, end in offsets])
    return values[np.minimum(np.searchsorted(ends, token_ends), len(ends) - 1)]
