"""AdamW of 8 bits that rounds bfloat16 at random: weights move, and a step repeats itself."""

import copy
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.conftest import tiny_llama
from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import RecipeError, UsageError
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.training import low_bit_adamw
from tgdpo_core.training.durability.free_space import plain_parts
from tgdpo_core.training.durability.numeric_guard import bad_states
from tgdpo_core.training.durability.resume_guard import apply_changes, hyperparameters
from tgdpo_core.training.low_bit_adamw import optimizer_of

ROUNDING = {"optim": "adamw_torch_8bit", "optim_args": "bf16_stochastic_round=true"}
RATE = 1e-6

torchao = pytest.importorskip("torchao")


def layer(value: float = 1.0) -> Any:
    """Return a model of one weight matrix, all its weights the same."""
    model = torch.nn.Linear(64, 64, bias=False).bfloat16()
    torch.nn.init.constant_(model.weight, value)
    return model


def stepped(model: Any, optimizer: Any, steps: int) -> Any:
    """Return the model after some steps along a gradient of ones."""
    for _ in range(steps):
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    return model


@pytest.fixture
def optimizer(tmp_path: Any) -> Callable[..., Any]:
    def make(model: Any, **settings: Any) -> Any:
        given = {"learning_rate": RATE, **ROUNDING, **settings}
        args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, **given)
        cls, kwargs = optimizer_of(args, model)
        return cls(model.parameters(), **kwargs)

    return make


def test_weights_move_by_the_sum_of_updates_that_are_too_small_for_their_format(
    optimizer: Callable[..., Any],
) -> None:
    steps = 200
    model = layer()
    stepped(model, optimizer(model), steps)
    plain = layer()
    stepped(plain, optimizer(plain, optim_args=None), steps)
    assert bool((plain.weight == 1).all())
    # A weight below 1 moves by 2**-8, with the probability that makes the mean of a step RATE.
    spread = (RATE * steps * 2**-8 / model.weight.numel()) ** 0.5
    assert (1 - model.weight.float()).mean().item() == pytest.approx(RATE * steps, abs=4 * spread)


def test_a_step_is_the_same_whatever_else_has_been_drawn(optimizer: Callable[..., Any]) -> None:
    first, second = layer(), layer()
    stepped(first, optimizer(first, learning_rate=1e-3), 3)
    torch.rand(17)
    before = torch.random.get_rng_state()
    stepped(second, optimizer(second, learning_rate=1e-3), 3)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(before, torch.random.get_rng_state())


def test_steps_and_seeds_draw_differently(optimizer: Callable[..., Any]) -> None:
    found = []
    for seed, steps in ((1, 1), (2, 1), (1, 2)):
        model = layer()
        found.append(stepped(model, optimizer(model, seed=seed, learning_rate=1e-3), steps).weight)
    moved = [weight != 1 for weight in found]
    assert not torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])


def test_a_saved_state_goes_on_as_if_it_had_not_been_saved(
    optimizer: Callable[..., Any], tmp_path: Any
) -> None:
    model = layer()
    first = optimizer(model, learning_rate=1e-3)
    stepped(model, first, 3)
    torch.save(first.state_dict(), tmp_path / "state")
    copied = copy.deepcopy(model)
    second = optimizer(copied, learning_rate=0.5)
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert torch.equal(stepped(model, first, 2).weight, stepped(copied, second, 2).weight)


def test_a_state_that_is_not_finite_is_named(optimizer: Callable[..., Any]) -> None:
    model = layer()
    made = optimizer(model)
    stepped(model, made, 1)
    assert bad_states(made) == []
    state = next(iter(made.state.values()))
    state["exp_avg_sq"].scale[3] = torch.nan
    assert bad_states(made) == ["exp_avg_sq of parameter 0"]


def test_a_state_takes_a_byte_for_each_weight(optimizer: Callable[..., Any]) -> None:
    model = layer()
    made = optimizer(model)
    stepped(model, made, 1)
    state = next(iter(made.state.values()))["exp_avg"]
    codes, scales, codebook = plain_parts(state)
    assert codes.nbytes == model.weight.numel()
    assert scales.nbytes == 4 * model.weight.numel() / 256
    assert codebook.nbytes == 4 * 256


def test_a_trained_run_resumes_to_the_same_weights(
    make_trainer: Callable[..., TGDPOTrainer], small_tokenizer: Any, log_rows: Callable[..., Any]
) -> None:
    how = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "model": None, **ROUNDING}

    def trained(run: str, **kwargs: Any) -> TGDPOTrainer:
        torch.manual_seed(0)
        how["model"] = tiny_llama(len(small_tokenizer), intermediate_size=128).bfloat16()
        return make_trainer(run=run, num_train_epochs=2, **{**how, **kwargs})

    whole = trained("whole")
    whole.train()
    cut = trained("cut")
    cut.train()
    states = [plain_parts(state["exp_avg"]) for state in cut.optimizer.state.values()]
    assert any(len(parts) > 1 for parts in states)
    shutil.rmtree(cut._folder.checkpoints / "checkpoint-4")
    torch.rand(3)
    resumed = trained("cut")
    resumed.train(resume_from_checkpoint=True)
    assert log_rows(whole._folder.path) == log_rows(resumed._folder.path)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("model", [{"dtype": "auto"}, {"dtype": "float32"}, {"lora": {"r": 4}}])
def test_a_recipe_that_has_nothing_to_round_is_refused(model: dict[str, Any]) -> None:
    settings = {"dtype": "bfloat16", **model}
    recipe = {"model": settings, "data": {"path": "x.jsonl"}, "training": ROUNDING}
    with pytest.raises(RecipeError, match="bf16_stochastic_round has no effect here"):
        resolve_recipe({**recipe, "output_dir": "runs/x"})


@pytest.mark.parametrize("adapter", [False, True])
def test_a_model_that_has_nothing_to_round_is_refused(
    make_trainer: Callable[..., TGDPOTrainer], small_tokenizer: Any, adapter: bool
) -> None:
    model = tiny_llama(len(small_tokenizer))
    if adapter:
        settings = {"r": 2, "alpha": 4, "target_modules": "all-linear"}
        model = with_lora(model.bfloat16(), settings)
    with pytest.raises(UsageError, match="the trained weights are float32"):
        make_trainer(model=model, **ROUNDING)


def test_small_updates_are_not_called_lost_where_they_are_rounded_at_random(
    make_trainer: Callable[..., TGDPOTrainer],
    small_tokenizer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for settings in (ROUNDING, {"optim": ROUNDING["optim"]}):
        caplog.clear()
        model = tiny_llama(len(small_tokenizer)).bfloat16()
        make_trainer(model=model, learning_rate=RATE, **settings)
        said = [m for m in caplog.messages if "hides small updates" in m]
        assert len(said) == (0 if settings is ROUNDING else 1)
        assert all("bf16_stochastic_round=true" in m for m in said)


def test_the_size_of_a_block_is_a_number(optimizer: Callable[..., Any]) -> None:
    text = f"{ROUNDING['optim_args']},block_size=128"
    model = layer()
    made = optimizer(model, optim_args=text)
    stepped(model, made, 1)
    assert next(iter(made.state.values()))["exp_avg"].block_size == 128
    for wrong in ("0", "many"):
        with pytest.raises(ValueError, match="does not fit adamw_torch_8bit"):
            optimizer(model, optim_args=f"block_size={wrong}")


def test_without_a_compiler_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    low_bit_adamw._require_compiler([])
    with pytest.raises(UsageError, match="needs a C compiler: install gcc"):
        low_bit_adamw._require_compiler([0])


def test_a_new_learning_rate_reaches_the_optimizer_of_a_resumed_run(
    make_trainer: Callable[..., TGDPOTrainer], small_tokenizer: Any
) -> None:
    trainer = make_trainer(model=tiny_llama(len(small_tokenizer)).bfloat16(), **ROUNDING)
    trainer.create_optimizer_and_scheduler(4)
    fresh = hyperparameters(trainer.optimizer)
    for group in fresh:
        group["initial_lr"] = 0.25
    apply_changes(trainer.optimizer, trainer.lr_scheduler, fresh, {"learning_rate"})
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    assert all(isinstance(rate, torch.Tensor) and rate.item() == 0.25 for rate in rates)
