"""The token reward ``bag-of-tokens``: learnt from which response is preferred, and no more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, ScoringContext, TokenReward, option

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

_FILE = "values.safetensors"


class BagOfTokens(TokenReward):
    """What each token of the vocabulary adds to the log-odds that a response is the preferred one.

    A Bradley-Terry model of token counts, fitted to the training pairs before training:

        P(chosen over rejected) = sigmoid(sum of v over the tokens of chosen - over rejected)

    with a penalty on the squares of v. A token has one value wherever it stands; the sum over a
    response is the model's score of it. It needs no labels of steps and no other model, and knows
    no more than DPO is trained on.
    """

    penalty: float = option(1.0, help="factor of half the sum of squared values; above 0")

    def __post_init__(self) -> None:
        """Refuse a penalty without a minimum."""
        if not self.penalty > 0:
            raise ValueError(f"penalty must be above 0, got {self.penalty}")

    def prepare(self, context: ScoringContext, examples: Sequence[Example]) -> None:
        """Fit the values to the training pairs.

        Raises:
            ValueError: examples that are no pairs.
        """
        import torch
        from safetensors.torch import save_file

        differences = _differences(examples, len(context.tokenizer))
        values = fitted(differences, self.penalty)
        save_file({"values": torch.from_numpy(values).float()}, context.artifacts / _FILE)

    def setup(self, context: ScoringContext) -> None:
        """Read the values."""
        from safetensors.torch import load_file

        self._values = load_file(context.artifacts / _FILE)["values"]

    def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return the value of every response token; 0 for one that no training response has."""
        return [self._values[list(example.response_ids)] for example in batch]


def fitted(differences: "csr_matrix", penalty: float) -> "np.ndarray[Any, Any]":
    """Return the values that minimise the penalised loss.

        sum over pairs of log(1 + exp(-d . v)) + penalty / 2 |v|^2

    Args:
        differences: [P, V], token counts of the chosen response less those of the rejected one.
        penalty: above 0, so that there is one minimum.

    Returns:
        [V] float64.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    def loss(v: Any) -> tuple[float, Any]:
        margins = differences @ v
        gradient = penalty * v - differences.T @ expit(-margins)
        return float(penalty / 2 * v @ v - log_expit(margins).sum()), gradient

    start = np.zeros(differences.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    values: np.ndarray[Any, Any] = found.x
    return values


def _differences(examples: Sequence[Example], vocabulary: int) -> "csr_matrix":
    """Return [P, V] counts of chosen less rejected tokens of each pair."""
    import numpy as np
    from scipy.sparse import csr_matrix

    chosen, rejected = examples[::2], examples[1::2]
    if [e.side for e in chosen] != ["chosen"] * len(rejected):
        raise ValueError("bag-of-tokens is fitted to pairs: a rejected behind each chosen response")
    rows, columns, values = [], [], []
    for row, pair in enumerate(zip(chosen, rejected, strict=True)):
        for example, sign in zip(pair, (1.0, -1.0), strict=True):
            columns += list(example.response_ids)
            rows += [row] * len(example.response_ids)
            values += [sign] * len(example.response_ids)
    shape = (len(chosen), vocabulary)
    return csr_matrix((np.array(values), (rows, columns)), shape=shape)  # equal places add up
