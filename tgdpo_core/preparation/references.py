"""The reference of a run: the policy as it is before training, or a model of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.models.checks import (
    embedding_rows,
    has_tokenizer,
    require_same_rows,
    require_same_tokens,
)
from tgdpo_core.models.fingerprints import fingerprint, loaded_model_fingerprint
from tgdpo_core.models.loading import NO_TRUST, Policy, Trust, load_causal_lm, load_tokenizer
from tgdpo_core.models.paths import locate
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.settings import Reference


def own_reference(policy: Policy, device: torch.device, precision: Precision) -> Reference:
    """Return the policy as it is before training, as its own reference.

    Args:
        policy: the policy.
        device: where it goes.
        precision: of frozen models; the policy has its mixed precision, and its own weights.
    """
    identity = policy.identity or loaded_model_fingerprint(policy.model)
    own = replace(precision, dtype=policy.model.dtype)
    return Reference(identity, lambda: policy.model.to(device), own)


def given_reference(
    model: Any,
    tokenizer: Any,
    *,
    precision: Precision,
    policy_rows: int | None = None,
    trust: Trust = NO_TRUST,
) -> Reference:
    """Return a reference of its own: a model, or its name or folder.

    Args:
        model: the reference.
        tokenizer: the policy's; that of a named reference must have the same ids.
        precision: of a reference that must be loaded.
        policy_rows: how many token vectors the policy has, if it is loaded.
        trust: what its files may do.

    Raises:
        UsageError: it reads other tokens than the policy.
    """
    if not isinstance(model, str | Path):
        return Reference(loaded_model_fingerprint(model), lambda: model)
    source = locate(str(model))
    who = f"The reference '{model}'"
    if any(has_tokenizer(each) for each in source.chain):
        other = load_tokenizer(str(model), trust_remote_code=trust.remote_code)
        require_same_tokens(tokenizer, other, who=f"the reference '{model}'", next_step=_SAME)

    def load() -> Any:
        loaded = load_causal_lm(source, precision=precision, trust=trust)
        if policy_rows and not any(has_tokenizer(each) for each in source.chain):
            require_same_rows(policy_rows, embedding_rows(loaded), who=who)
        return loaded

    return Reference(fingerprint(source), load)


_SAME = "Use a reference with the policy's tokenizer."
