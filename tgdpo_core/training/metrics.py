"""Metrics: sums per pair on the device, reduced once at log time, exact for any batch shape.

Every metric is a function of sums, minima and maxima over pairs, so uneven batches, gradient
accumulation and several processes change nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from tgdpo_core.engine.losses import PreferenceLoss
from tgdpo_core.reports.diagnostics import Diagnostics
from tgdpo_core.training.batches import PairBatch

_TINY = torch.finfo(torch.float64).tiny


class PairMetrics(NamedTuple):
    """What is kept of each pair; [P] float64 each. Suffix _w: chosen, _l: rejected."""

    loss: torch.Tensor
    margin: torch.Tensor  # weighted, as the loss sees it
    reward_w: torch.Tensor  # beta * sum of log-ratios, unweighted
    reward_l: torch.Tensor
    logps_w: torch.Tensor
    logps_l: torch.Tensor
    delta_w: torch.Tensor  # sum of log-ratios
    delta_l: torch.Tensor
    length_w: torch.Tensor
    length_l: torch.Tensor
    token_reward_sum: torch.Tensor
    token_reward_squares: torch.Tensor
    token_reward_min: torch.Tensor
    token_reward_max: torch.Tensor
    weight_w: torch.Tensor
    weight_l: torch.Tensor
    weight_squares: torch.Tensor
    negative_weights: torch.Tensor
    effective_w: torch.Tensor  # (sum f)^2 / (n sum f^2) of the response, in [0, 1]
    effective_l: torch.Tensor
    label_free: torch.Tensor  # |part of the weighted margin that ignores the label|
    label_bound: torch.Tensor  # |part that changes its sign with the label|
    num_tokens: torch.Tensor  # tokens of the forward pass, an equal share for each pair of a row


def pair_metrics(
    batch: PairBatch,
    policy_logps: torch.Tensor,
    loss: PreferenceLoss,
    losses: torch.Tensor,
    *,
    beta: float,
) -> torch.Tensor:
    """Return [P, K] float64, K the fields of ``PairMetrics``.

    Args:
        batch: the pairs.
        policy_logps: [N] log pi of the response tokens.
        loss: of the preference part.
        losses: [P] what is minimised, SFT term included.
        beta: of the loss.
    """
    row = batch.row
    response = 2 * row.pair_ids + (~row.is_chosen).long()

    def sums(values: torch.Tensor) -> torch.Tensor:
        """Return [P, 2] sums over the tokens of each response."""
        total = torch.zeros(2 * row.num_pairs, dtype=torch.float64, device=values.device)
        return total.index_add(0, response, values.double()).view(-1, 2)

    def extreme(values: torch.Tensor, how: str) -> torch.Tensor:
        start = values.new_full((row.num_pairs,), torch.inf if how == "amin" else -torch.inf)
        return start.scatter_reduce(0, row.pair_ids, values, how).double()

    logps, delta = sums(policy_logps), sums(policy_logps - batch.reference_logps)
    lengths = sums(torch.ones_like(policy_logps))
    weights, squares = sums(batch.weights), sums(batch.weights**2)
    # The weighted margin z of the pair, and z' of the pair with its labels exchanged. Their mean is
    # the same whatever the label says; for linear f it is alpha beta sum r logratio over both.
    logratios = beta * (policy_logps - batch.reference_logps)
    weighted, swapped = sums(batch.weights * logratios), sums(batch.swapped_weights * logratios)
    z, z_swapped = weighted[:, 0] - weighted[:, 1], swapped[:, 1] - swapped[:, 0]
    effective = weights**2 / (lengths * squares).clamp(min=_TINY)
    kept = PairMetrics(
        loss=losses,
        margin=loss.margins,
        reward_w=loss.chosen_rewards,
        reward_l=loss.rejected_rewards,
        logps_w=logps[:, 0],
        logps_l=logps[:, 1],
        delta_w=delta[:, 0],
        delta_l=delta[:, 1],
        length_w=lengths[:, 0],
        length_l=lengths[:, 1],
        token_reward_sum=sums(batch.token_rewards).sum(1),
        token_reward_squares=sums(batch.token_rewards**2).sum(1),
        token_reward_min=extreme(batch.token_rewards, "amin"),
        token_reward_max=extreme(batch.token_rewards, "amax"),
        weight_w=weights[:, 0],
        weight_l=weights[:, 1],
        weight_squares=squares.sum(1),
        negative_weights=sums((batch.weights < 0).float()).sum(1),
        effective_w=effective[:, 0],
        effective_l=effective[:, 1],
        label_free=(z + z_swapped).abs() / 2,
        label_bound=(z - z_swapped).abs() / 2,
        num_tokens=torch.full_like(losses, row.num_tokens / row.num_pairs),
    )
    return torch.stack([column.detach().double() for column in kept], dim=1)


class MetricBuffer:
    """Collects pair metrics between two log rows.

    Args:
        more: names of the columns behind those of ``PairMetrics``, whose means are logged.
    """

    def __init__(self, more: Callable[[], Sequence[str]] = tuple) -> None:
        self._parts: list[torch.Tensor] = []
        self._more = more

    def add(self, metrics: torch.Tensor) -> None:
        """Keep [P, K] metrics; nothing is copied off the device."""
        if len(metrics):
            self._parts.append(metrics)

    def rows(self) -> torch.Tensor:
        """Return the [P, K] metrics kept since the last ``pop``, and keep them."""
        if not self._parts:
            columns = len(PairMetrics._fields) + len(self._more())
            return torch.zeros(0, columns, dtype=torch.float64)
        return torch.cat(self._parts)

    def pop(self, gather: Callable[[torch.Tensor], torch.Tensor] | None = None) -> "Reduced":
        """Return the metrics of everything added since the last call; empty if nothing was.

        Args:
            gather: joins the rows of all processes; None where that is done already.
        """
        rows = self.rows()
        self._parts = []
        # A process without pairs takes part in the gathering, too.
        rows = (gather(rows) if gather else rows).cpu()
        if not len(rows):
            return Reduced({}, 0, 0)
        named, more = rows.tensor_split([len(PairMetrics._fields)], dim=1)
        columns = PairMetrics(*named.unbind(1))
        # Rows of a checkpoint may come before the names are known.
        means = dict(zip(self._more(), more.mean(0).tolist(), strict=False))
        num_tokens = int(columns.num_tokens.sum().round())
        return Reduced({**reduce_metrics(columns), **means}, len(rows), num_tokens)


class Reduced(NamedTuple):
    """Metrics by name, and how many pairs and forward tokens they are made of."""

    metrics: dict[str, float]
    num_pairs: int
    num_tokens: int


def reduce_metrics(m: PairMetrics) -> dict[str, float]:
    """Return the logged metrics of a set of pairs (names of the public contract)."""
    num_tokens = (m.length_w + m.length_l).sum()
    mean_reward = m.token_reward_sum.sum() / num_tokens
    mean_weight = (m.weight_w + m.weight_l).sum() / num_tokens
    margins = m.reward_w - m.reward_l
    metrics = {
        "loss": m.loss.mean(),
        "rewards/chosen": m.reward_w.mean(),
        "rewards/rejected": m.reward_l.mean(),
        "rewards/accuracies": (margins > 0).double().mean(),
        "rewards/margins": margins.mean(),
        "logps/chosen": m.logps_w.mean(),
        "logps/rejected": m.logps_l.mean(),
        "logps/chosen_delta": m.delta_w.mean(),
        "logps/rejected_delta": m.delta_l.mean(),
        "weighted/margins": m.margin.mean(),
        "weighted/accuracies": (m.margin > 0).double().mean(),
        "token_reward/mean": mean_reward,
        "token_reward/std": _std(m.token_reward_squares.sum() / num_tokens, mean_reward),
        "token_reward/min": m.token_reward_min.min(),
        "token_reward/max": m.token_reward_max.max(),
        "weights/mean_chosen": m.weight_w.sum() / m.length_w.sum(),
        "weights/mean_rejected": m.weight_l.sum() / m.length_l.sum(),
        "weights/std": _std(m.weight_squares.sum() / num_tokens, mean_weight),
        "weights/negative_fraction": m.negative_weights.sum() / num_tokens,
        "weights/effective_fraction": torch.cat([m.effective_w, m.effective_l]).mean(),
    }
    if m.label_free.isfinite().all():
        parts = m.label_free.sum(), m.label_bound.sum()
        metrics["weighted/label_free_share"] = parts[0] / (parts[0] + parts[1]).clamp(min=_TINY)
        metrics["weighted/swap_violation"] = 2 * m.label_free.mean()
    if m.weight_l.sum():
        ratio = metrics["weights/mean_chosen"] / metrics["weights/mean_rejected"]
        metrics["weights/mean_ratio"] = ratio
    return {name: value.item() for name, value in metrics.items()}


def _std(mean_square: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    return (mean_square - mean**2).clamp(min=0).sqrt()


def error_aucs(diagnostics: Diagnostics) -> dict[str, float]:
    """Return ``token_reward/error_auc_{chosen,rejected}`` where errors in the data are known.

    They are about the rewards before training and the same in every row; rewards of dynamic sources
    do not exist then and count as 0.
    """
    if diagnostics.errors is None:
        return {}
    found = {"chosen": diagnostics.errors.chosen, "rejected": diagnostics.errors.rejected}
    return {f"token_reward/error_auc_{side}": auc for side, auc in found.items() if auc is not None}
