"""The induced reward's loss and gradients against the official formula, written out plainly.

    L = -log sigmoid( sum_t beta (1 + alpha beta (log pi_r - log pi_ref)) (log pi - log pi_ref) |w
                    - sum_t beta (1 - alpha beta (log pi_r - log pi_ref)) (log pi - log pi_ref) |l )

by three padded forward passes; the mean over pairs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOTrainer
from tgdpo_core.training.batches import collate
from tgdpo_plugins.shapings.linear import Linear

BETA, ALPHA = 0.1, 5.0

Gradients = dict[str, torch.Tensor]


@pytest.fixture
def trainer(
    make_trainer: Callable[..., TGDPOTrainer],
    perturb: Callable[..., Any],
    model_folder: Path,
    reward_folder: Path,
) -> TGDPOTrainer:
    """A trainer whose policy has left the reference, guided by a third model."""
    return make_trainer(
        model=perturb(2),
        ref_model=str(model_folder),
        token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
        shaping=Linear(alpha=ALPHA),
        beta=BETA,
    )


@pytest.fixture
def official(
    perturb: Callable[..., Any],
    model_folder: Path,
    reward_folder: Path,
    padded_logps: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[Sequence[Any]], tuple[float, Gradients]]:
    """A function: pairs -> the official loss and the gradients of all parameters."""
    policy = perturb(2)
    reference = AutoModelForCausalLM.from_pretrained(model_folder)
    reward_model = AutoModelForCausalLM.from_pretrained(reward_folder)

    def side_sum(pairs: Sequence[Any], side: str, sign: float) -> torch.Tensor:
        logps, _ = padded_logps(policy, pairs, side)
        with torch.no_grad():
            ref, _ = padded_logps(reference, pairs, side)
            guide, _ = padded_logps(reward_model, pairs, side)
        weights = 1 + sign * ALPHA * BETA * (guide - ref)
        return (BETA * weights * (logps - ref)).sum(-1)

    def compute(pairs: Sequence[Any]) -> tuple[float, Gradients]:
        policy.zero_grad()
        margins = side_sum(pairs, "chosen", 1) - side_sum(pairs, "rejected", -1)
        loss = -F.logsigmoid(margins).mean()
        loss.backward()
        return loss.item(), {n: p.grad.clone() for n, p in policy.named_parameters()}

    return compute


def step(trainer: TGDPOTrainer, indices: Sequence[int]) -> tuple[float, Gradients]:
    """Return the trainer's loss and gradients on a batch."""
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, collate([trainer.train_dataset[i] for i in indices]))
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in trainer.model.named_parameters()}


def worst(found: Gradients, expected: Gradients) -> float:
    """Return the greatest difference of any parameter's gradient, relative to its largest entry."""
    assert found.keys() == expected.keys()
    return max(
        ((found[name] - expected[name]).abs().max() / expected[name].abs().max()).item()
        for name in expected
    )


BATCHES = {1: [[i] for i in range(12)], 4: [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]}


@pytest.mark.parametrize("size", sorted(BATCHES))
def test_the_loss_equals_the_official_formula(
    trainer: TGDPOTrainer, official: Callable[..., tuple[float, Gradients]], size: int
) -> None:
    for indices in BATCHES[size]:
        found, _ = step(trainer, indices)
        expected, _ = official([trainer.train_dataset.tokens[i] for i in indices])
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", sorted(BATCHES))
def test_all_gradients_equal_the_official_formula(
    trainer: TGDPOTrainer, official: Callable[..., tuple[float, Gradients]], size: int
) -> None:
    for indices in BATCHES[size]:
        _, found = step(trainer, indices)
        _, expected = official([trainer.train_dataset.tokens[i] for i in indices])
        assert worst(found, expected) < 1e-5


def test_the_comparison_is_between_losses_far_from_plain_dpo(trainer: TGDPOTrainer) -> None:
    weights = torch.cat([scored.weights for scored in trainer.train_dataset])
    assert (weights - 1).abs().mean() > 0.03
    loss, _ = step(trainer, range(12))
    assert abs(loss - 0.6931) > 0.01


def test_a_batch_of_four_is_the_mean_of_four_batches_of_one(trainer: TGDPOTrainer) -> None:
    loss, gradients = step(trainer, [0, 1, 2, 3])
    singles = [step(trainer, [i]) for i in range(4)]
    assert loss == pytest.approx(sum(each for each, _ in singles) / 4, rel=1e-6)
    mean = {name: sum(g[name] for _, g in singles) / 4 for name in gradients}
    assert worst(gradients, mean) < 1e-5


# -- gradient accumulation: 11 pairs in steps of 8 and 3, twice -----------------------------------

SHAPES = {"1x8": (1, 8), "2x4": (2, 4), "8x1": (8, 1)}


@pytest.fixture
def accumulated(
    make_trainer: Callable[..., TGDPOTrainer],
    small_rows: list[dict[str, Any]],
    perturb: Callable[..., Any],
    model_folder: Path,
    reward_folder: Path,
) -> Callable[[str], TGDPOTrainer]:
    """A function: a shape's name -> its trainer after four steps."""

    def run(name: str) -> TGDPOTrainer:
        size, accumulation = SHAPES[name]
        trainer = make_trainer(
            name,
            model=perturb(2),
            ref_model=str(model_folder),
            token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
            shaping=Linear(alpha=ALPHA),
            train_dataset=small_rows[:11],
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=2,
            optim="sgd",  # Adam divides by the gradient's size, and so enlarges rounding
            learning_rate=0.1,
            sft_weight=0.1,
        )
        trainer.train()
        assert trainer.state.global_step == 4
        return trainer

    return run


@pytest.mark.parametrize("name", ["1x8", "2x4"])
def test_accumulation_does_not_change_the_weights(
    accumulated: Callable[[str], TGDPOTrainer], perturb: Callable[..., Any], name: str
) -> None:
    whole, parts, start = (accumulated("8x1").model, accumulated(name).model, perturb(2))
    before = dict(start.named_parameters())
    expected = dict(whole.named_parameters())
    moved = max((expected[n] - before[n]).abs().max().item() for n in expected)
    worst = max((p - expected[n]).abs().max().item() for n, p in parts.named_parameters())
    assert moved > 1e-3
    assert worst < 1e-6


@pytest.mark.parametrize("name", ["1x8", "2x4"])
def test_accumulation_does_not_change_the_logged_metrics(
    accumulated: Callable[[str], TGDPOTrainer],
    log_rows: Callable[..., list[dict[str, Any]]],
    name: str,
) -> None:
    expected, found = (log_rows(accumulated(n).args.output_dir) for n in ("8x1", name))
    assert len(expected) == 5  # four steps and the closing row
    for mine, theirs in zip(found, expected, strict=True):
        # transformers counts the epoch in micro-batches, of which the last step has fewer.
        del mine["epoch"], theirs["epoch"]
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-5)
