"""Every setting of the loss reaches it, and unusable arguments are refused before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.engine import preference_loss, sft_loss
from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.recipe import resolve_recipe
from tgdpo_core.training.batches import PairBatch, collate, make_rows

MakeTrainer = Callable[..., TGDPOTrainer]

SETTINGS: dict[str, dict[str, Any]] = {
    "beta": {"beta": 0.7},
    "loss_type": {"loss_type": "ipo"},
    "label_smoothing": {"label_smoothing": 0.2},
    "simpo_gamma": {"loss_type": "simpo", "simpo_gamma": 1.5},
}


@pytest.fixture
def off_reference(
    make_trainer: MakeTrainer, perturb: Callable[..., Any], model_folder: Path
) -> MakeTrainer:
    """A function: like ``make_trainer``, with a policy that has left the reference."""
    return lambda run="run", **kwargs: make_trainer(
        run, model=perturb(2), ref_model=str(model_folder), **kwargs
    )


def first_batch(trainer: TGDPOTrainer) -> tuple[float, torch.Tensor, PairBatch]:
    """Return the loss of four pairs with the policy's log-probs and the batch."""
    inputs = collate([trainer.train_dataset[i] for i in range(4)])
    (batch,), _ = make_rows(inputs["pairs"], trainer._engine, 10_000)
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, inputs).item()
        return loss, trainer.model(row=batch.row), batch


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_of_the_loss_reaches_it(off_reference: MakeTrainer, name: str) -> None:
    settings = SETTINGS[name]
    loss, logps, batch = first_batch(off_reference(**settings))
    arguments = {"beta": 0.1, **settings}
    arguments["loss"] = arguments.pop("loss_type", "sigmoid")
    expected = preference_loss(
        logps,
        batch.reference_logps,
        batch.weights,
        batch.row.pair_ids,
        batch.row.is_chosen,
        num_pairs=4,
        **arguments,
    )
    assert loss == pytest.approx(expected.losses.mean().item(), rel=1e-6)
    default, *_ = first_batch(off_reference("default"))
    assert abs(loss - default) > 1e-3


def test_sft_weight_adds_the_mean_nll_of_chosen_tokens(off_reference: MakeTrainer) -> None:
    plain, *_ = first_batch(off_reference("plain"))
    loss, logps, batch = first_batch(off_reference("with_sft", sft_weight=0.5))
    nll = sft_loss(logps, batch.row.pair_ids, batch.row.is_chosen, num_pairs=4).mean().item()
    assert nll > 1
    assert loss == pytest.approx(plain + 0.5 * nll, rel=1e-6)


def test_defaults_that_differ_from_transformers(tmp_path: Path) -> None:
    args = TGDPOConfig(output_dir=str(tmp_path), use_cpu=True)
    assert (args.learning_rate, args.logging_steps, args.save_total_limit) == (1e-6, 10, 2)
    assert (args.report_to, args.remove_unused_columns) == ([], False)


def test_a_row_that_is_too_long_is_cut_at_max_length(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(max_length=40, on_bad_row="skip", max_shares={"truncated": 1.0})
    lengths = [
        len(pair.prompt_ids) + max(len(pair.chosen.ids), len(pair.rejected.ids))
        for pair in trainer.train_dataset.tokens
    ]
    assert max(lengths) == 40


UNUSABLE: dict[str, dict[str, Any]] = {
    "beta must be above 0": {"beta": 0.0},
    "label_smoothing must be in": {"label_smoothing": 0.5},
}


@pytest.mark.parametrize("message", sorted(UNUSABLE))
def test_an_unusable_setting_of_the_loss_is_refused_at_once(tmp_path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TGDPOConfig(output_dir=str(tmp_path), use_cpu=True, **UNUSABLE[message])


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"loss_type": "sigmod"}, PluginError, "Unknown loss 'sigmod'. Did you mean 'sigmoid'"),
        (
            {"loss_type": "ipo", "label_smoothing": 0.1},
            UsageError,
            "no meaning for the loss 'ipo'",
        ),
        (
            {"loss_type": "tdpo2", "loss_args": {"alpha": "much"}},
            PluginError,
            "loss 'tdpo2'.*option alpha='much'",
        ),
    ],
)
def test_a_loss_that_cannot_be_had_is_refused_before_data_is_read(
    make_trainer: MakeTrainer, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        make_trainer(train_dataset="no such data", **settings)


def test_a_recipe_with_a_setting_that_its_loss_does_not_take_is_refused_in_its_plan() -> None:
    loss = {"name": "ipo", "label_smoothing": 0.1}
    recipe = resolve_recipe({"data": {"path": "playground"}, "output_dir": "y", "loss": loss})
    with pytest.raises(UsageError, match="no meaning for the loss 'ipo'"):
        make_plan(recipe, PluginManager(env={"TGDPO_LOAD_PLUGINS": ""}))


def test_a_trainer_without_training_data_is_refused(
    model_folder: Path, small_tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="needs a train_dataset"):
        TGDPOTrainer(
            str(model_folder),
            args=TGDPOConfig(output_dir=str(tmp_path), use_cpu=True),
            processing_class=small_tokenizer,
        )


def test_the_policy_itself_as_reference_is_refused(
    make_trainer: MakeTrainer, perturb: Callable[..., Any]
) -> None:
    model = perturb(1)
    with pytest.raises(UsageError, match="ref_model is the policy itself"):
        make_trainer(model=model, ref_model=model)


def test_the_policys_folder_as_reference_is_the_policy_before_training(
    make_trainer: MakeTrainer, model_folder: Path
) -> None:
    folder = str(model_folder)
    named = make_trainer("named", model=folder, ref_model=folder)
    default = make_trainer("default", model=folder)
    for mine, theirs in zip(named.train_dataset, default.train_dataset, strict=True):
        assert torch.equal(mine.reference_logps, theirs.reference_logps)


def test_two_rewards_with_shared_transforms_are_refused(make_trainer: MakeTrainer) -> None:
    from tgdpo_plugins.transforms.scale import Scale

    with pytest.raises(UsageError, match="give each its own transforms"):
        make_trainer(token_reward=["random", "none"], transforms=[Scale(factor=2.0)])
