"""Whether a run with these token weights can train at all."""

from tgdpo_core.errors import NumericError
from tgdpo_core.reports.diagnostics import Diagnostics

# A gradient is about weight times beta; its squares must not leave float32.
_LARGEST_PULL = 1e18


def require_usable_weights(diagnostics: Diagnostics, *, beta: float) -> None:
    """Refuse weights with which no gradient could be finite.

    Args:
        diagnostics: of the training set's weights.
        beta: of the loss.

    Raises:
        NumericError: a weight is so large that squared gradients overflow.
    """
    sides = (diagnostics.chosen, diagnostics.rejected)
    worst = max((value for side in sides for value in (side.min, side.max)), key=abs)
    if not abs(worst) * beta < _LARGEST_PULL:
        raise NumericError(
            f"Token weights reach {worst:.3g}: with beta {beta:g} no gradient would be finite. "
            "Nothing was trained. Scale the token rewards (--reward-transform rms or clip), or "
            "lower alpha of the shaping."
        )
