"""The preference loss of a row of pairs, from flat per-token vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class PreferenceLoss:
    """Losses and the values worth logging, one per pair; all [P] float32.

    Attributes:
        losses: the loss of each pair, differentiable; sum them and divide by the pairs of the step.
        margins: what the loss sees, weights included (detached):
            ``sum_t beta f_w logratio |chosen - sum_t beta f_l logratio |rejected``.
        chosen_rewards: ``beta * sum_t logratio`` of the chosen response, *un*weighted (detached).
        rejected_rewards: the same of the rejected response.
    """

    losses: torch.Tensor
    margins: torch.Tensor
    chosen_rewards: torch.Tensor
    rejected_rewards: torch.Tensor


class _PairSums(NamedTuple):
    """Sums over the tokens of each response, [P] each (w chosen, l rejected)."""

    w: torch.Tensor
    l: torch.Tensor  # noqa: E741 - the paper's index of the rejected response


class _Inputs(NamedTuple):
    logratios: _PairSums  # weighted
    logps: _PairSums  # weighted
    lengths: _PairSums
    beta: float
    label_smoothing: float
    simpo_gamma: float


def preference_loss(  # noqa: PLR0913 - the public contract: three vectors, two indices, settings
    policy_logps: torch.Tensor,
    reference_logps: torch.Tensor,
    weights: torch.Tensor,
    pair_ids: torch.Tensor,
    is_chosen: torch.Tensor,
    *,
    num_pairs: int,
    beta: float,
    loss: str = "sigmoid",
    label_smoothing: float = 0.0,
    simpo_gamma: float = 0.5,
) -> PreferenceLoss:
    """Return the loss of each pair of a row, with token weights.

        m = sum_t beta f_w (log pi - log pi_ref) |chosen - sum_t beta f_l (...) |rejected
        sigmoid:  -(1 - s) log sigmoid(m) - s log sigmoid(-m)        TGDPO eq. 20; s: cDPO smoothing
        hinge:    max(0, 1 - m)                                      SLiC
        ipo:      (mean_t |chosen - mean_t |rejected - 1/(2 beta))^2    of weighted log-ratios
        simpo:    sigmoid of beta (mean_t f_w log pi |chosen - ...) - gamma    no reference
        sft:      -mean_t f_w log pi |chosen                         no preference: the baseline

    With all weights 1 these are DPO, SLiC, IPO (length-normalised, as in TRL), SimPO and supervised
    fine-tuning on the chosen responses.

    Args:
        policy_logps: [N] float32, differentiable.
        reference_logps: [N] float32 (unused by ``simpo`` except for the rewards it reports).
        weights: [N] float32, f_w on chosen tokens, f_l on rejected ones.
        pair_ids: [N] int64 in [0, P): the pair of each token.
        is_chosen: [N] bool.
        num_pairs: P; a pair without tokens counts with margin 0.
        beta: strength of the tie to the reference.
        loss: ``sigmoid``, ``ipo``, ``hinge``, ``simpo`` or ``sft``.
        label_smoothing: probability that a label is flipped, in [0, 0.5); sigmoid and simpo only.
        simpo_gamma: target margin of ``simpo``.

    Raises:
        ValueError: an unknown loss, or a setting outside its range.
    """
    check_settings(loss, beta=beta, label_smoothing=label_smoothing)
    logratios = policy_logps - reference_logps

    def sums(values: torch.Tensor) -> _PairSums:
        return _pair_sums(values, pair_ids, is_chosen, num_pairs)

    unweighted = sums(logratios.detach())
    lengths = sums(torch.ones_like(logratios))
    inputs = _Inputs(
        logratios=sums(weights * logratios),
        logps=sums(weights * policy_logps),
        lengths=_PairSums(lengths.w.clamp(min=1), lengths.l.clamp(min=1)),
        beta=beta,
        label_smoothing=label_smoothing,
        simpo_gamma=simpo_gamma,
    )
    losses, margins = LOSSES[loss](inputs)
    return PreferenceLoss(
        losses=losses,
        margins=margins.detach(),
        chosen_rewards=beta * unweighted.w,
        rejected_rewards=beta * unweighted.l,
    )


def check_settings(loss: str, *, beta: float, label_smoothing: float) -> None:
    """Raise ``ValueError`` for an unknown loss, or a setting outside its range."""
    if loss not in LOSSES:
        raise ValueError(f"Unknown loss '{loss}'. Available: {', '.join(LOSSES)}.")
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}.")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, 0.5), got {label_smoothing}.")
    if label_smoothing and loss not in _SMOOTHED:
        raise ValueError(f"label_smoothing has no meaning for the loss '{loss}'; set it to 0.")


def _pair_sums(
    values: torch.Tensor, pair_ids: torch.Tensor, is_chosen: torch.Tensor, num_pairs: int
) -> _PairSums:
    response_ids = 2 * pair_ids + (~is_chosen).long()
    totals = values.new_zeros(2 * num_pairs).index_add(0, response_ids, values)
    return _PairSums(totals[0::2], totals[1::2])


def _log_sigmoid_loss(margins: torch.Tensor, smoothing: float) -> torch.Tensor:
    return -(1 - smoothing) * F.logsigmoid(margins) - smoothing * F.logsigmoid(-margins)


def _sigmoid(x: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    margins = x.beta * (x.logratios.w - x.logratios.l)
    return _log_sigmoid_loss(margins, x.label_smoothing), margins


def _hinge(x: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    margins = x.beta * (x.logratios.w - x.logratios.l)
    return torch.relu(1 - margins), margins


def _ipo(x: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    difference = x.logratios.w / x.lengths.w - x.logratios.l / x.lengths.l
    return (difference - 1 / (2 * x.beta)) ** 2, x.beta * difference


def _simpo(x: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    margins = x.beta * (x.logps.w / x.lengths.w - x.logps.l / x.lengths.l)
    return _log_sigmoid_loss(margins - x.simpo_gamma, x.label_smoothing), margins


def _sft(x: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    return -x.logps.w / x.lengths.w, x.beta * (x.logratios.w - x.logratios.l)


LOSSES: dict[str, Callable[[_Inputs], tuple[torch.Tensor, torch.Tensor]]] = {
    "sigmoid": _sigmoid,
    "ipo": _ipo,
    "hinge": _hinge,
    "simpo": _simpo,
    "sft": _sft,
}
_SMOOTHED = ("sigmoid", "simpo")


def sft_loss(
    policy_logps: torch.Tensor, pair_ids: torch.Tensor, is_chosen: torch.Tensor, *, num_pairs: int
) -> torch.Tensor:
    """Return [P] float32: the mean negative log-likelihood of each pair's chosen tokens.

        -1/T sum_t log pi |chosen

    Args:
        policy_logps: [N] float32, differentiable.
        pair_ids: [N] int64 in [0, P).
        is_chosen: [N] bool.
        num_pairs: P.
    """
    sums = _pair_sums(policy_logps, pair_ids, is_chosen, num_pairs)
    lengths = _pair_sums(torch.ones_like(policy_logps), pair_ids, is_chosen, num_pairs)
    return -sums.w / lengths.w.clamp(min=1)
