"""The engine: tensors in, tensors out, no I/O.

Shapes: P pairs, N response tokens of a row (chosen and rejected, one flat vector), D width,
V vocabulary, B sequences, T positions.
"""

from tgdpo_core.engine.logps import token_logps
from tgdpo_core.engine.losses import (
    LOSSES,
    PairLosses,
    PairTerms,
    PreferenceLoss,
    log_sigmoid_loss,
    preference_loss,
    sft_loss,
)

__all__ = [
    "LOSSES",
    "PairLosses",
    "PairTerms",
    "PreferenceLoss",
    "log_sigmoid_loss",
    "preference_loss",
    "sft_loss",
    "token_logps",
]
