"""Made-up next-token distributions for the kit's responses. Importing it loads torch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from tgdpo_core.plugin_api.rewards import Example, TokenReward

_VOCABULARY = 13
_POLICY, _REFERENCE = 31, 43  # factors that mix ids and vocabulary up


def log_probs(ids: Sequence[int], factor: int) -> torch.Tensor:
    """Return [n, V] float32 log-probs that only the token ids decide."""
    places = torch.arange(_VOCABULARY)[None] + 1
    logits = ((torch.as_tensor(ids)[:, None] + 7) * places * factor % 101).float() / 30
    return logits.log_softmax(-1)


def with_distributions(examples: Sequence[Example], reward: TokenReward) -> list[Example]:
    """Return examples with what a reward needs of distributions in ``shared``."""
    from tgdpo_core.plugin_api.needs import of_policy, of_reference

    needs = reward.required()
    if not of_policy(needs) and not of_reference(needs):
        return list(examples)
    return [
        dataclasses.replace(example, shared={**example.shared, **_values(example, reward)})
        for example in examples
    ]


def _values(example: Example, reward: TokenReward) -> dict[str, Any]:
    from tgdpo_core.engine.quantities import quantity
    from tgdpo_core.plugin_api.needs import VOCABULARY, of_policy, of_reference

    log_p, log_q = (log_probs(example.response_ids, factor) for factor in (_POLICY, _REFERENCE))
    found: dict[str, Any] = {}
    for need in of_policy(reward.required()):
        function = reward.over_vocabulary if need == VOCABULARY else quantity(need)
        found |= function(log_p, log_q)
    for need in of_reference(reward.required()):
        values = quantity(need.replace("reference_", "policy_", 1))(log_q, None)
        found |= {name.replace("policy_", "reference_", 1): v for name, v in values.items()}
    return found
