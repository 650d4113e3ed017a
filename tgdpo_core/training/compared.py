"""The reference that a policy's KL is measured against: in the policy's own number format."""

from pathlib import Path
from typing import Any

from tgdpo_core.engine.policy import plain_copy
from tgdpo_core.evaluation.divergence import require_same_formats
from tgdpo_core.models.loading import Trust
from tgdpo_core.models.precision import Precision
from tgdpo_core.preparation.references import given_reference
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.training.judging import Judging


def compared_with(
    judging: Judging | None,
    policy: Any,
    scorer: Scorer,
    ref_model: Any,
    tokenizer: Any,
    trust: Trust,
) -> Any:
    """Return a frozen copy of the reference with weights in the policy's format, or None.

    The one that scores may have coarser ones; the difference would count as divergence.

    Args:
        judging: what is judged; None, or without KL, needs no reference.
        policy: as it is before training.
        scorer: holds the reference that scores.
        ref_model: the reference as it was given: a name, a model, or None.
        tokenizer: the policy's.
        trust: what the files of a named reference may do.

    Raises:
        UsageError: it was given as a model in another format.
    """
    if judging is None or not judging.kl:
        return None
    reference = scorer.reference
    if isinstance(ref_model, str | Path):
        own = Precision(policy.dtype, None, scorer.settings.precision.attn_implementation)
        reference = given_reference(ref_model, tokenizer, precision=own, trust=trust)
    model = reference.load()
    require_same_formats(policy.dtype, model.dtype)
    return plain_copy(model)
