"""Logged metrics: their names, and their values from raw log-probs over a window."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOTrainer
from tgdpo_plugins.shapings.linear import Linear

BETA, ALPHA = 0.2, 20.0

OF_PAIRS = {
    "loss",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
    "logps/chosen_delta",
    "logps/rejected_delta",
    "weighted/margins",
    "weighted/accuracies",
    "token_reward/mean",
    "token_reward/std",
    "token_reward/min",
    "token_reward/max",
    "weights/mean_chosen",
    "weights/mean_rejected",
    "weights/std",
    "weights/negative_fraction",
    "weights/effective_fraction",
    "weights/mean_ratio",
    "weighted/label_free_share",
    "weighted/swap_violation",
}
OF_STEPS = {
    "grad_norm",
    "learning_rate",
    "epoch",
    "peak_memory_mib",
    "tokens_per_second",
    "pairs_per_second",
}


@pytest.fixture
def standing_trainer(
    make_trainer: Callable[..., TGDPOTrainer],
    perturb: Callable[..., Any],
    small_rows: list[dict[str, Any]],
    model_folder: Path,
    reward_folder: Path,
) -> Callable[..., TGDPOTrainer]:
    """A function: a trainer whose policy never moves, so that a window has one set of log-probs.

    Eleven pairs in batches of 4, 4 and 3, logged once; two eval sets' worth of other pairs.
    """

    def make(**kwargs: Any) -> TGDPOTrainer:
        return make_trainer(
            model=perturb(2),
            ref_model=str(model_folder),
            token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
            shaping=Linear(alpha=ALPHA),
            train_dataset=small_rows[:11],
            eval_dataset=small_rows[1:8],
            **{"learning_rate": 0.0, "logging_steps": 3, "beta": BETA, **kwargs},
        )

    return make


@pytest.fixture
def by_hand(
    perturb: Callable[..., Any],
    model_folder: Path,
    reward_folder: Path,
    padded_logps: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> Callable[..., dict[str, float]]:
    """A function: pairs -> every metric, from raw log-probs and python floats."""
    policy, reference = perturb(2), AutoModelForCausalLM.from_pretrained(model_folder)
    guide = AutoModelForCausalLM.from_pretrained(reward_folder)

    @torch.no_grad()
    def values(model: Any, pair: Any, side: str) -> list[float]:
        logps, mask = padded_logps(model, [pair], side)
        return logps[mask.bool()].double().tolist()

    def mean(numbers: list[float]) -> float:
        return math.fsum(numbers) / len(numbers)

    def std(numbers: list[float]) -> float:
        return math.sqrt(mean([(x - mean(numbers)) ** 2 for x in numbers]))

    def effective(weights: list[float]) -> float:
        return sum(weights) ** 2 / (len(weights) * sum(f * f for f in weights))

    def compute(pairs: list[Any]) -> dict[str, float]:
        per_side: dict[str, dict[str, list[float]]] = {}
        tokens: dict[str, list[float]] = {"r": []}
        for side, sign in (("chosen", 1), ("rejected", -1)):
            names = ("reward", "logp", "delta", "guided", "eff", "free")
            kept = per_side[side] = {name: [] for name in names}
            tokens[side] = []
            for pair in pairs:
                pi, ref, other = (values(m, pair, side) for m in (policy, reference, guide))
                ratios = [a - b for a, b in zip(pi, ref, strict=True)]
                r = [BETA * (a - b) for a, b in zip(other, ref, strict=True)]
                f = [1 + sign * ALPHA * x for x in r]
                kept["logp"].append(sum(pi))
                kept["delta"].append(sum(ratios))
                kept["reward"].append(BETA * sum(ratios))
                kept["guided"].append(BETA * sum(a * b for a, b in zip(f, ratios, strict=True)))
                kept["eff"].append(effective(f))
                # alpha beta sum r logratio has the same sign on both sides (docs, 1a)
                free = [ALPHA * BETA * a * b for a, b in zip(r, ratios, strict=True)]
                kept["free"].append(sum(free))
                tokens["r"] += r
                tokens[side] += f
        w, l = per_side["chosen"], per_side["rejected"]  # noqa: E741 - the paper's indices
        margins = [a - b for a, b in zip(w["reward"], l["reward"], strict=True)]
        guided = [a - b for a, b in zip(w["guided"], l["guided"], strict=True)]
        weights = tokens["chosen"] + tokens["rejected"]
        free = [abs(a + b) for a, b in zip(w["free"], l["free"], strict=True)]
        bound = [abs(m) for m in margins]  # without the reward's term, the margin is that of DPO
        return {
            "loss": mean([math.log1p(math.exp(-m)) for m in guided]),
            "rewards/chosen": mean(w["reward"]),
            "rewards/rejected": mean(l["reward"]),
            "rewards/accuracies": mean([float(m > 0) for m in margins]),
            "rewards/margins": mean(margins),
            "logps/chosen": mean(w["logp"]),
            "logps/rejected": mean(l["logp"]),
            "logps/chosen_delta": mean(w["delta"]),
            "logps/rejected_delta": mean(l["delta"]),
            "weighted/margins": mean(guided),
            "weighted/accuracies": mean([float(m > 0) for m in guided]),
            "token_reward/mean": mean(tokens["r"]),
            "token_reward/std": std(tokens["r"]),
            "token_reward/min": min(tokens["r"]),
            "token_reward/max": max(tokens["r"]),
            "weights/mean_chosen": mean(tokens["chosen"]),
            "weights/mean_rejected": mean(tokens["rejected"]),
            "weights/std": std(weights),
            "weights/negative_fraction": mean([float(f < 0) for f in weights]),
            "weights/effective_fraction": mean(w["eff"] + l["eff"]),
            "weights/mean_ratio": mean(tokens["chosen"]) / mean(tokens["rejected"]),
            "weighted/label_free_share": sum(free) / (sum(free) + sum(bound)),
            "weighted/swap_violation": 2 * mean(free),
        }

    return compute


def test_a_training_row_has_every_name_of_the_contract(
    make_trainer: Callable[..., TGDPOTrainer], log_rows: Callable[..., list[dict[str, Any]]]
) -> None:
    trainer = make_trainer()
    trainer.train()
    for row in [row for row in trainer.state.log_history if "loss" in row]:
        assert set(row) == OF_PAIRS | OF_STEPS | {"step"}
        assert row["tokens_per_second"] > row["pairs_per_second"] > 0


def test_an_eval_row_has_every_name_with_its_prefix(
    make_trainer: Callable[..., TGDPOTrainer], small_rows: list[dict[str, Any]]
) -> None:
    trainer = make_trainer(eval_dataset=small_rows[:5], eval_strategy="epoch")
    trainer.train()
    (row,) = [row for row in trainer.state.log_history if "eval_loss" in row]
    assert {f"eval_{name}" for name in OF_PAIRS} <= set(row)
    assert not OF_PAIRS & set(row)


def test_eval_rows_are_in_the_log_file(
    make_trainer: Callable[..., TGDPOTrainer],
    small_rows: list[dict[str, Any]],
    log_rows: Callable[..., list[dict[str, Any]]],
) -> None:
    trainer = make_trainer(eval_dataset=small_rows[:5], eval_strategy="epoch")
    trainer.train()
    rows = log_rows(trainer.args.output_dir)
    assert [row["step"] for row in rows if "eval_loss" in row] == [3]


def test_training_metrics_of_a_window_with_an_uneven_last_batch_equal_those_by_hand(
    standing_trainer: Callable[..., TGDPOTrainer], by_hand: Callable[..., dict[str, float]]
) -> None:
    trainer = standing_trainer()
    trainer.train()
    (row,) = [row for row in trainer.state.log_history if "loss" in row]
    expected = by_hand(trainer.train_dataset.tokens)
    found = {name: row[name] for name in OF_PAIRS}
    assert found == pytest.approx(expected, rel=2e-5, abs=2e-6)


def test_the_window_compared_above_has_negative_weights_and_mixed_accuracies(
    standing_trainer: Callable[..., TGDPOTrainer], by_hand: Callable[..., dict[str, float]]
) -> None:
    expected = by_hand(standing_trainer().train_dataset.tokens)
    for name in ("weights/negative_fraction", "rewards/accuracies", "weighted/accuracies"):
        assert 0 < expected[name] < 1, name


def test_eval_metrics_equal_those_by_hand(
    standing_trainer: Callable[..., TGDPOTrainer], by_hand: Callable[..., dict[str, float]]
) -> None:
    trainer = standing_trainer(per_device_eval_batch_size=3)
    metrics = trainer.evaluate()
    expected = by_hand(trainer.eval_dataset.tokens)
    found = {name: metrics[f"eval_{name}"] for name in OF_PAIRS}
    assert found == pytest.approx(expected, rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_the_eval_batch_size_does_not_change_eval_metrics(
    standing_trainer: Callable[..., TGDPOTrainer], size: int
) -> None:
    whole = standing_trainer(per_device_eval_batch_size=100).evaluate()
    parts = standing_trainer(run="parts", per_device_eval_batch_size=size).evaluate()
    for name in OF_PAIRS:
        assert parts[f"eval_{name}"] == pytest.approx(whole[f"eval_{name}"], rel=1e-5, abs=1e-6)


def test_an_evaluation_in_the_middle_of_a_window_does_not_change_its_metrics(
    standing_trainer: Callable[..., TGDPOTrainer],
) -> None:
    rows = []
    for run, settings in {
        "with": {"eval_strategy": "steps", "eval_steps": 1},
        "without": {},
    }.items():
        trainer = standing_trainer(run=run, **settings)
        trainer.train()
        rows.append(next(row for row in trainer.state.log_history if "loss" in row))
    assert all(rows[0][name] == rows[1][name] for name in OF_PAIRS)


def test_each_window_holds_only_its_own_steps(
    standing_trainer: Callable[..., TGDPOTrainer], by_hand: Callable[..., dict[str, float]]
) -> None:
    trainer = standing_trainer(logging_steps=1, per_device_train_batch_size=1, max_steps=11)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    expected = [by_hand([pair])["loss"] for pair in trainer.train_dataset.tokens]
    assert sorted(losses) == pytest.approx(sorted(expected), rel=1e-5)


def test_the_diagnostics_of_run_json_are_over_all_training_tokens(
    standing_trainer: Callable[..., TGDPOTrainer],
    by_hand: Callable[..., dict[str, float]],
    run_record: Callable[..., dict[str, Any]],
) -> None:
    trainer = standing_trainer()
    trainer.train()
    found = run_record(trainer.args.output_dir)["diagnostics"]
    assert found["num_pairs"] == 11
    expected = by_hand(trainer.train_dataset.tokens)
    (reward,) = found["rewards"]
    assert (reward["mean"], reward["std"]) == pytest.approx(
        (expected["token_reward/mean"], expected["token_reward/std"]), rel=1e-4
    )
    assert (found["chosen"]["mean"], found["rejected"]["mean"]) == pytest.approx(
        (expected["weights/mean_chosen"], expected["weights/mean_rejected"]), rel=1e-4
    )


def test_signs_of_trouble_are_logged_before_training(
    make_trainer: Callable[..., TGDPOTrainer], caplog: pytest.LogCaptureFixture
) -> None:
    make_trainer("one", token_reward="random", shaping="chosen-only")
    assert "one side only" in caplog.text
    caplog.clear()
    make_trainer("two", token_reward="none")
    assert not caplog.text
    make_trainer(
        "three",
        token_reward=[
            {"plugin": "random", "args": {"std": 0.1}},
            {"plugin": "random", "args": {"std": 1.0, "seed": 1}},
        ],
    )
    assert "(RMS, weights included: random (reward.0) 0.1" in caplog.text
