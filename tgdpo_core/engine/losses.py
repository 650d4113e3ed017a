"""The preference loss of a row of pairs, from flat per-token vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


class Sides(NamedTuple):
    """A value of both responses of each pair, [P] each (w chosen, l rejected)."""

    w: torch.Tensor
    l: torch.Tensor  # noqa: E741 - the paper's index of the rejected response


@dataclass(frozen=True)
class PairTerms:
    """What a loss is made of: a row of pairs as flat vectors over its N response tokens.

    Attributes:
        policy_logps: log pi, [N] float32, differentiable.
        reference_logps: log pi_ref, [N] float32.
        weights: [N] float32, f_w on chosen tokens, f_l on rejected ones.
        pair_ids: [N] int64 in [0, P): the pair of each token.
        is_chosen: [N] bool.
        num_pairs: P; a pair without tokens counts with sums of 0.
        beta: strength of the tie to the reference.
        values: what a loss asked for by its ``needs``, by name: [N] or [N, k], differentiable.
    """

    policy_logps: torch.Tensor
    reference_logps: torch.Tensor
    weights: torch.Tensor
    pair_ids: torch.Tensor
    is_chosen: torch.Tensor
    num_pairs: int
    beta: float
    values: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def logratios(self) -> torch.Tensor:
        """log pi - log pi_ref, [N]."""
        return self.policy_logps - self.reference_logps

    def sums(self, values: torch.Tensor) -> Sides:
        """Return the sums of [N] values over the tokens of each response."""
        return _pair_sums(values, self.pair_ids, self.is_chosen, self.num_pairs)

    def means(self, values: torch.Tensor) -> Sides:
        """Return the means of [N] values over the tokens of each response; 0 of an empty one."""
        sums, lengths = self.sums(values), self.sums(torch.ones_like(self.policy_logps))
        return Sides(sums.w / lengths.w.clamp(min=1), sums.l / lengths.l.clamp(min=1))

    @property
    def margins(self) -> torch.Tensor:
        """sum_t beta f_w logratio |chosen - sum_t beta f_l logratio |rejected, [P]."""
        sums = self.sums(self.weights * self.logratios)
        return self.beta * (sums.w - sums.l)


@dataclass(frozen=True)
class PairLosses:
    """What a loss returns, one value a pair.

    Attributes:
        losses: [P] float32, differentiable.
        margins: [P], the preference as the loss sees it; None: ``PairTerms.margins``.
        metrics: [P] each, by name; their means are logged as ``loss/NAME``.
    """

    losses: torch.Tensor
    margins: torch.Tensor | None = None
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)


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
    pairs = PairTerms(policy_logps, reference_logps, weights, pair_ids, is_chosen, num_pairs, beta)
    settings: dict[str, float] = {}
    if loss in _SMOOTHED:
        settings["label_smoothing"] = label_smoothing
    if loss == "simpo":
        settings["simpo_gamma"] = simpo_gamma
    return with_rewards(pairs, LOSSES[loss](pairs, **settings))


def with_rewards(pairs: PairTerms, found: PairLosses) -> PreferenceLoss:
    """Return what a loss gave for pairs, with the rewards that are logged beside it."""
    unweighted = pairs.sums(pairs.logratios.detach())
    margins = pairs.margins if found.margins is None else found.margins
    return PreferenceLoss(
        losses=found.losses,
        margins=margins.detach(),
        chosen_rewards=pairs.beta * unweighted.w,
        rejected_rewards=pairs.beta * unweighted.l,
    )


def check_settings(loss: str, *, beta: float, label_smoothing: float) -> None:
    """Raise ``ValueError`` for an unknown loss, or a setting outside its range."""
    if loss not in LOSSES:
        raise ValueError(f"Unknown loss '{loss}'. Available: {', '.join(LOSSES)}.")
    check_ranges(beta=beta, label_smoothing=label_smoothing)
    if label_smoothing and loss not in _SMOOTHED:
        raise ValueError(f"label_smoothing has no meaning for the loss '{loss}'; set it to 0.")


def check_ranges(*, beta: float, label_smoothing: float) -> None:
    """Raise ``ValueError`` for a setting outside its range."""
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}.")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, 0.5), got {label_smoothing}.")


def _pair_sums(
    values: torch.Tensor, pair_ids: torch.Tensor, is_chosen: torch.Tensor, num_pairs: int
) -> Sides:
    response_ids = 2 * pair_ids + (~is_chosen).long()
    totals = values.new_zeros(2 * num_pairs).index_add(0, response_ids, values)
    return Sides(totals[0::2], totals[1::2])


def log_sigmoid_loss(margins: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return ``-(1 - s) log sigmoid(m) - s log sigmoid(-m)``, elementwise."""
    return -(1 - smoothing) * F.logsigmoid(margins) - smoothing * F.logsigmoid(-margins)


def sigmoid_loss(pairs: PairTerms, *, label_smoothing: float = 0.0) -> PairLosses:
    """Return DPO's loss with token weights (TGDPO eq. 20; s: cDPO smoothing)."""
    margins = pairs.margins
    return PairLosses(log_sigmoid_loss(margins, label_smoothing), margins)


def hinge_loss(pairs: PairTerms) -> PairLosses:
    """Return ``max(0, 1 - m)`` (SLiC)."""
    margins = pairs.margins
    return PairLosses(torch.relu(1 - margins), margins)


def ipo_loss(pairs: PairTerms) -> PairLosses:
    """Return ``(mean_t |chosen - mean_t |rejected - 1/(2 beta))^2`` of weighted log-ratios."""
    means = pairs.means(pairs.weights * pairs.logratios)
    difference = means.w - means.l
    return PairLosses((difference - 1 / (2 * pairs.beta)) ** 2, pairs.beta * difference)


def simpo_loss(
    pairs: PairTerms, *, label_smoothing: float = 0.0, simpo_gamma: float = 0.5
) -> PairLosses:
    """Return the sigmoid loss of ``beta (mean_t f_w log pi |chosen - ...) - gamma``."""
    means = pairs.means(pairs.weights * pairs.policy_logps)
    margins = pairs.beta * (means.w - means.l)
    return PairLosses(log_sigmoid_loss(margins - simpo_gamma, label_smoothing), margins)


def sft_of_chosen(pairs: PairTerms) -> PairLosses:
    """Return ``-mean_t f_w log pi |chosen``: no preference, the baseline."""
    return PairLosses(-pairs.means(pairs.weights * pairs.policy_logps).w)


LOSSES: dict[str, Callable[..., PairLosses]] = {
    "sigmoid": sigmoid_loss,
    "ipo": ipo_loss,
    "hinge": hinge_loss,
    "simpo": simpo_loss,
    "sft": sft_of_chosen,
}
"""The built-in losses by name, as pure functions of ``PairTerms`` and their settings."""

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
