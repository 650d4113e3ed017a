"""Do low token rewards mark the tokens that are known to be errors?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tgdpo_core.plugin_api.rewards import Side

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ErrorDetection:
    """Area under the ROC curve: the chance that an error token has a lower reward than another one.

    0.5 is chance, ties count half; None for a side without errors, or with nothing else.

    Attributes:
        chosen: among the tokens of chosen responses.
        rejected: among those of rejected responses.
        num_chosen: error tokens in chosen responses.
        num_rejected: error tokens in rejected responses.
    """

    chosen: float | None
    rejected: float | None
    num_chosen: int
    num_rejected: int


def detect_errors(
    rewards: Mapping[Side, _Array], is_error: Mapping[Side, _Array]
) -> ErrorDetection:
    """Return how well low rewards mark errors.

    Args:
        rewards: [N] token rewards of each side.
        is_error: [N] bool of each side.
    """
    return ErrorDetection(
        chosen=_auc(rewards["chosen"], is_error["chosen"]),
        rejected=_auc(rewards["rejected"], is_error["rejected"]),
        num_chosen=int(is_error["chosen"].sum()),
        num_rejected=int(is_error["rejected"].sum()),
    )


def _auc(rewards: _Array, is_error: _Array) -> float | None:
    num_errors = int(is_error.sum())
    num_others = len(is_error) - num_errors
    if not num_errors or not num_others:
        return None
    ranks = stats.rankdata(-rewards)  # mean ranks where rewards are equal
    above = ranks[is_error].sum() - num_errors * (num_errors + 1) / 2
    return float(above / (num_errors * num_others))
