"""How well the values of a token classifier find what is wrong in rollouts.

Legend: S rollouts, T tokens.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_plugins.playground.task import DIGITS
from tgdpo_plugins.playground.token_classifier import LabelledTokens

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """Area under the ROC curve of finding the tokens that are errors.

    Attributes:
        among_all: against all other tokens that the checker judges.
        among_results: the digits that are results alone, where nearly all errors are; finding
            these is what takes knowledge.
    """

    among_all: float
    among_results: float

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.among_all:.3f} among all tokens, {self.among_results:.3f} among results"


def error_detection(suspicion_ST: "torch.Tensor", steps: LabelledTokens) -> Detection:
    """Return how well a high suspicion marks the error tokens.

    Args:
        suspicion_ST: [S, T] float.
        steps: the same rollouts, labelled by steps.
    """
    is_error_ST, is_right_ST = steps.labels == 0, steps.labels == 1
    is_digit_ST = steps.ids < len(DIGITS)  # they have the first ids
    is_result_ST = is_digit_ST.clone()
    is_result_ST[:, 1:] &= is_digit_ST[:, :-1]  # a result stands behind an operand

    def auc_of(mask_ST: Any) -> float:
        return auc(
            suspicion_ST[is_error_ST & mask_ST].numpy(), suspicion_ST[is_right_ST & mask_ST].numpy()
        )

    return Detection(auc_of(True), auc_of(is_result_ST))


def falls(values_ST: "torch.Tensor") -> "torch.Tensor":
    """Return how far the value falls at every token, ``V[t-1] - V[t]``; 0 at the first."""
    import torch

    return torch.cat([torch.zeros_like(values_ST[:, :1]), -values_ST.diff(dim=1)], dim=1)


def auc(positives: "NDArray[np.floating[Any]]", negatives: "NDArray[np.floating[Any]]") -> float:
    """Return the chance that a positive is above a negative; ties count half.

    Raises:
        ValueError: there are none of one kind.
    """
    import numpy as np

    if not len(positives) or not len(negatives):
        raise ValueError(
            f"An AUC needs both kinds; found {len(positives)} positives and {len(negatives)} "
            "negatives. Use more rollouts."
        )
    negatives = np.sort(negatives)
    num_below = np.searchsorted(negatives, positives, "left")
    num_not_above = np.searchsorted(negatives, positives, "right")
    return float((num_below + num_not_above).mean() / (2 * len(negatives)))
