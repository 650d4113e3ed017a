"""What can be asked of a next-token distribution by name: entropy, divergences, top tokens."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from tgdpo_core.errors import PluginError

Over = Callable[[torch.Tensor, torch.Tensor | None], Mapping[str, torch.Tensor]]
"""From log pi [n, V] and, where there is one, log pi_ref [n, V] to [n] or [n, k] each, by name."""

_TOP = re.compile(r"policy_top:([1-9]\d*)")


def quantity(name: str, who: str = "a plugin") -> Over:
    """Return the function that a name stands for.

    It raises ``PluginError`` where it is asked for more tokens than the vocabulary has.

        policy_entropy         -sum_v pi log pi                         nats, [n]
        kl_reference_policy    sum_v pi_ref (log pi_ref - log pi)       nats, [n]
        kl_policy_reference    sum_v pi (log pi - log pi_ref)           nats, [n]
        policy_top:K           the K highest log pi, [n, K]; policy_top_ids:K, their ids

    Args:
        name: the quantity.
        who: how messages name what asks for it.

    Raises:
        KeyError: it stands for none.
    """
    if top := _TOP.fullmatch(name):
        return _Top(int(top.group(1)), who)
    return {
        "policy_entropy": _entropy,
        "kl_reference_policy": _kl_reference_policy,
        "kl_policy_reference": _kl_policy_reference,
    }[name]


def _entropy(log_p: torch.Tensor, log_q: torch.Tensor | None) -> Mapping[str, torch.Tensor]:
    return {"policy_entropy": -_expectation(log_p, log_p)}


def _kl_reference_policy(
    log_p: torch.Tensor, log_q: torch.Tensor | None
) -> Mapping[str, torch.Tensor]:
    assert log_q is not None
    return {"kl_reference_policy": _expectation(log_q, log_q - log_p)}


def _kl_policy_reference(
    log_p: torch.Tensor, log_q: torch.Tensor | None
) -> Mapping[str, torch.Tensor]:
    assert log_q is not None
    return {"kl_policy_reference": _expectation(log_p, log_p - log_q)}


def _expectation(log_p: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return ``sum_v p values``; what has no probability counts for nothing (0 log 0 = 0)."""
    return (log_p.exp() * values.masked_fill(log_p == -torch.inf, 0.0)).sum(-1)


@dataclass(frozen=True)
class _Top:
    """The ``size`` most likely tokens, which ``who`` asks for."""

    size: int
    who: str

    def __call__(
        self, log_p: torch.Tensor, log_q: torch.Tensor | None
    ) -> Mapping[str, torch.Tensor]:
        if self.size > log_p.shape[-1]:
            raise PluginError(
                f"{self.who} needs the {self.size} most likely tokens (top:{self.size}); the "
                f"vocabulary has {log_p.shape[-1]}. Ask for that many at most."
            )
        found = log_p.topk(self.size, dim=-1)
        return {
            f"policy_top:{self.size}": found.values,
            f"policy_top_ids:{self.size}": found.indices,
        }
