"""``preference_loss`` by hand, by a plain loop, and by its gradient."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.engine import LOSSES, PreferenceLoss, preference_loss, sft_loss

# One pair: two chosen tokens, one rejected token, beta 1/4.
#   chosen:    log-ratios 0.5, 0.5    weights 2, 1      weighted sum 1.5     unweighted 1
#   rejected:  log-ratio -1           weight 0.5        weighted sum -0.5    unweighted -1
POLICY = torch.tensor([-1.0, -2.0, -3.0])
REFERENCE = torch.tensor([-1.5, -2.5, -2.0])
WEIGHTS = torch.tensor([2.0, 1.0, 0.5])
PAIRS = torch.tensor([0, 0, 0])
CHOSEN = torch.tensor([True, True, False])

BY_HAND = {
    # m = 1/4 (1.5 + 0.5) = 0.5
    "sigmoid": (math.log1p(math.exp(-0.5)), 0.5),
    "hinge": (0.5, 0.5),
    # 1.5 / 2 + 0.5 / 1 = 1.25; (1.25 - 1 / (2/4))^2 = 0.75^2
    "ipo": (0.5625, 0.3125),
    # 1/4 ((-2 - 2) / 2 + 1.5 / 1) = -0.125; minus gamma 0.5
    "simpo": (math.log1p(math.exp(0.625)), -0.125),
    # (2 * 1 + 1 * 2) / 2; the margin is that of DPO
    "sft": (2.0, 0.5),
}


def by_hand(**kwargs: Any) -> PreferenceLoss:
    """Return the loss of the pair above."""
    arguments = {"num_pairs": 1, "beta": 0.25, **kwargs}
    return preference_loss(POLICY, REFERENCE, WEIGHTS, PAIRS, CHOSEN, **arguments)


@pytest.mark.parametrize("loss", sorted(BY_HAND))
def test_the_loss_equals_the_example_by_hand(loss: str) -> None:
    assert by_hand(loss=loss).losses.tolist() == pytest.approx([BY_HAND[loss][0]], abs=1e-6)


@pytest.mark.parametrize("loss", sorted(BY_HAND))
def test_the_margin_equals_the_example_by_hand(loss: str) -> None:
    assert by_hand(loss=loss).margins.tolist() == pytest.approx([BY_HAND[loss][1]], abs=1e-6)


@pytest.mark.parametrize("loss", sorted(BY_HAND))
def test_rewards_are_beta_times_the_unweighted_logratios(loss: str) -> None:
    result = by_hand(loss=loss)
    assert result.chosen_rewards.tolist() == pytest.approx([0.25])
    assert result.rejected_rewards.tolist() == pytest.approx([-0.25])


def test_every_loss_has_an_example_by_hand() -> None:
    assert set(BY_HAND) == set(LOSSES)


def test_label_smoothing_mixes_the_losses_of_both_labels() -> None:
    expected = 0.9 * math.log1p(math.exp(-0.5)) + 0.1 * math.log1p(math.exp(0.5))
    assert by_hand(label_smoothing=0.1).losses.item() == pytest.approx(expected, abs=1e-6)


def test_label_smoothing_of_simpo_acts_after_the_target_margin() -> None:
    expected = 0.9 * math.log1p(math.exp(0.625)) + 0.1 * math.log1p(math.exp(-0.625))
    result = by_hand(loss="simpo", label_smoothing=0.1)
    assert result.losses.item() == pytest.approx(expected, abs=1e-6)


def test_simpo_gamma_moves_the_target_margin() -> None:
    expected = math.log1p(math.exp(0.125 + 2.0))
    assert by_hand(loss="simpo", simpo_gamma=2.0).losses.item() == pytest.approx(expected, abs=1e-6)


def test_simpo_does_not_read_the_reference() -> None:
    other = preference_loss(
        POLICY, REFERENCE - 9, WEIGHTS, PAIRS, CHOSEN, num_pairs=1, beta=0.25, loss="simpo"
    )
    assert torch.equal(other.losses, by_hand(loss="simpo").losses)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_only_the_losses_carry_gradients(loss: str) -> None:
    policy = POLICY.clone().requires_grad_()
    result = preference_loss(
        policy, REFERENCE, WEIGHTS, PAIRS, CHOSEN, num_pairs=1, beta=0.25, loss=loss
    )
    logged = (result.margins, result.chosen_rewards, result.rejected_rewards)
    assert result.losses.requires_grad
    assert not any(values.requires_grad for values in logged)


# -- random ragged rows ---------------------------------------------------------------------------


@dataclass
class Row:
    """A row of pairs as flat vectors, in an order of its own."""

    policy: torch.Tensor
    reference: torch.Tensor
    weights: torch.Tensor
    pair_ids: torch.Tensor
    is_chosen: torch.Tensor
    num_pairs: int

    def loss(self, policy: torch.Tensor | None = None, **kwargs: Any) -> PreferenceLoss:
        """Return the loss of the row."""
        return preference_loss(
            self.policy if policy is None else policy,
            self.reference,
            self.weights,
            self.pair_ids,
            self.is_chosen,
            num_pairs=self.num_pairs,
            **kwargs,
        )


def random_row(lengths: list[tuple[int, int]], seed: int) -> Row:
    """Return a row of pairs with these numbers of chosen and rejected tokens, shuffled, float64."""
    rng = torch.Generator().manual_seed(seed)
    ids = [
        (p, side) for p, pair in enumerate(lengths) for side in (0, 1) for _ in range(pair[side])
    ]
    order = torch.randperm(len(ids), generator=rng).tolist()
    ids = [ids[i] for i in order]
    n = len(ids)
    return Row(
        policy=-torch.rand(n, generator=rng, dtype=torch.float64) * 5,
        reference=-torch.rand(n, generator=rng, dtype=torch.float64) * 5,
        weights=1 + torch.randn(n, generator=rng, dtype=torch.float64),
        pair_ids=torch.tensor([p for p, _ in ids], dtype=torch.int64),
        is_chosen=torch.tensor([side == 0 for _, side in ids], dtype=torch.bool),
        num_pairs=len(lengths),
    )


ROWS = st.builds(
    random_row,
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5),
    st.integers(0, 2**31),
)


def one_pair_at_a_time(row: Row, loss: str, beta: float) -> list[float]:
    """Return the losses by plain loops over python floats."""
    losses = []
    for p in range(row.num_pairs):
        ratio, logp, count = [0.0, 0.0], [0.0, 0.0], [0, 0]
        for t in range(len(row.policy)):
            if int(row.pair_ids[t]) != p:
                continue
            side = 0 if bool(row.is_chosen[t]) else 1
            f, pi, ref = (float(x[t]) for x in (row.weights, row.policy, row.reference))
            ratio[side] += f * (pi - ref)
            logp[side] += f * pi
            count[side] += 1
        length = [max(c, 1) for c in count]
        m = beta * (ratio[0] - ratio[1])
        mean_ratio = ratio[0] / length[0] - ratio[1] / length[1]
        mean_logp = beta * (logp[0] / length[0] - logp[1] / length[1])
        by_name: dict[str, Callable[[], float]] = {
            "sigmoid": lambda m=m: math.log1p(math.exp(-m)),
            "hinge": lambda m=m: max(0.0, 1 - m),
            "ipo": lambda d=mean_ratio: (d - 1 / (2 * beta)) ** 2,
            "simpo": lambda m=mean_logp: math.log1p(math.exp(0.5 - m)),
            "sft": lambda total=logp[0], n=length[0]: -total / n,
        }
        losses.append(by_name[loss]())
    return losses


@pytest.mark.parametrize("loss", sorted(LOSSES))
@given(row=ROWS, beta=st.floats(0.01, 2))
@settings(deadline=None, max_examples=60)
def test_ragged_rows_equal_a_plain_loop_over_pairs(loss: str, row: Row, beta: float) -> None:
    found = row.loss(loss=loss, beta=beta).losses.tolist()
    assert found == pytest.approx(one_pair_at_a_time(row, loss, beta), rel=1e-9, abs=1e-9)


@given(ROWS, st.floats(0.01, 2))
@settings(deadline=None, max_examples=60)
def test_weights_of_one_give_dpo(row: Row, beta: float) -> None:
    row.weights = torch.ones_like(row.weights)
    expected = []
    for p in range(row.num_pairs):
        ratios = row.policy - row.reference
        mine = row.pair_ids == p
        pi_logratio = ratios[mine & row.is_chosen].sum() - ratios[mine & ~row.is_chosen].sum()
        expected.append(-torch.nn.functional.logsigmoid(beta * pi_logratio))
    result = row.loss(beta=beta)
    torch.testing.assert_close(result.losses, torch.stack(expected), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(result.margins, result.chosen_rewards - result.rejected_rewards)


@pytest.mark.parametrize(
    ("loss", "smoothing"),
    [*((loss, 0.0) for loss in sorted(LOSSES)), ("sigmoid", 0.2), ("simpo", 0.2)],
)
def test_gradcheck_passes_in_float64(loss: str, smoothing: float) -> None:
    row = random_row([(3, 2), (1, 4), (0, 2), (5, 0)], seed=3)
    policy = row.policy.clone().requires_grad_()

    def losses(policy: torch.Tensor) -> torch.Tensor:
        return row.loss(policy, loss=loss, beta=0.3, label_smoothing=smoothing).losses

    if loss == "hinge":
        assert ((losses(policy) > 0.01).sum() >= 2).item(), "the slope is there to be checked"
    assert torch.autograd.gradcheck(losses, [policy])


def test_the_gradient_of_a_token_is_proportional_to_its_weight() -> None:
    row = random_row([(4, 3)], seed=1)
    policy = row.policy.clone().requires_grad_()
    row.loss(policy, beta=0.1).losses.sum().backward()
    sign = torch.where(row.is_chosen, -1.0, 1.0)
    slopes = policy.grad / (sign * row.weights)
    torch.testing.assert_close(slopes, slopes[0].expand_as(slopes))


def test_a_pair_without_tokens_counts_with_margin_zero() -> None:
    row = random_row([(2, 2), (0, 0)], seed=0)
    result = row.loss(beta=0.1)
    assert result.losses[1].item() == pytest.approx(math.log(2))
    assert result.margins[1].item() == 0


# -- settings -------------------------------------------------------------------------------------


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown loss 'dpo'\. Available: sigmoid, ipo, hinge"):
        by_hand(loss="dpo")


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_beta_must_be_above_zero(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be above 0"):
        by_hand(beta=beta)


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0, math.nan])
def test_label_smoothing_out_of_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        by_hand(label_smoothing=smoothing)


@pytest.mark.parametrize("loss", ["hinge", "ipo"])
def test_label_smoothing_is_refused_where_it_would_do_nothing(loss: str) -> None:
    with pytest.raises(ValueError, match=f"no meaning for the loss '{loss}'"):
        by_hand(loss=loss, label_smoothing=0.1)


# -- the SFT term ---------------------------------------------------------------------------------


def test_sft_loss_is_the_mean_negative_log_likelihood_of_each_chosen_response() -> None:
    logps = torch.tensor([-1.0, -2.0, -9.0, -4.0, -9.0])
    pair_ids = torch.tensor([0, 0, 0, 1, 1])
    is_chosen = torch.tensor([True, True, False, True, False])
    assert sft_loss(logps, pair_ids, is_chosen, num_pairs=2).tolist() == [1.5, 4.0]


def test_sft_loss_of_a_pair_without_chosen_tokens_is_zero() -> None:
    losses = sft_loss(torch.tensor([-1.0]), torch.tensor([1]), torch.tensor([False]), num_pairs=2)
    assert losses.tolist() == [0.0, 0.0]


def test_gradcheck_of_sft_loss_passes_in_float64() -> None:
    row = random_row([(3, 2), (0, 4), (2, 1)], seed=5)
    policy = row.policy.clone().requires_grad_()
    arguments = (row.pair_ids, row.is_chosen)
    assert torch.autograd.gradcheck(lambda x: sft_loss(x, *arguments, num_pairs=3), [policy])
