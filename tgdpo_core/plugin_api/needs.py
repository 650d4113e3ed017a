"""What a plugin may ask of the policy's whole next-token distribution, by name."""

import re
from collections.abc import Sequence

VOCABULARY = "vocabulary"
"""The plugin's own ``over_vocabulary`` is called."""

COMPARISONS = ("kl_reference_policy", "kl_policy_reference", VOCABULARY)
"""What needs the reference's distribution beside the policy's."""

KNOWN = ("policy_entropy", "policy_top:K", *COMPARISONS)

_OF_POLICY = re.compile(r"policy_entropy|policy_top:[1-9]\d*|" + "|".join(COMPARISONS))
_OF_REFERENCE = re.compile(r"reference_(entropy|top:[1-9]\d*)")


def of_policy(needs: Sequence[str]) -> list[str]:
    """Return the needs that are about the policy's distribution."""
    return [need for need in needs if _OF_POLICY.fullmatch(need)]


def of_reference(needs: Sequence[str]) -> list[str]:
    """Return the needs that are stored values of the reference's distribution."""
    return [need for need in needs if _OF_REFERENCE.fullmatch(need)]
