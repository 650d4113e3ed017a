"""Settings of the optimizer and the schedule are tried before rows are read."""

from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOConfig
from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.training.run import training_config


def config(folder: Path, **settings: Any) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(folder / "run"), use_cpu=True, **settings)


PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"}
REFUSED = {
    "a schedule's unknown name": (
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycle": 2}},
        r"cosine_with_restarts does not take 'num_cycle'.*num_cycles",
    ),
    "a schedule without settings": (
        {"lr_scheduler_type": "linear", "lr_scheduler_kwargs": {"power": 2}},
        r"linear does not take 'power'.*It takes none",
    ),
    "a schedule that reads no settings": (
        {"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"power": 2}},
        r"has no effect here: the schedule constant has none",
    ),
    "a schedule's value of a wrong type": (
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": "two"}},
        r"'two'.* does not fit polynomial",
    ),
    "a schedule that is missing a setting": (
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"decay_type": "x"}},
        r"does not fit warmup_stable_decay",
    ),
    "a plateau's unknown name": (
        {**PLATEAU, "lr_scheduler_kwargs": {"patients": 2}},
        r"does not fit reduce_lr_on_plateau: .*patients",
    ),
    "an optimizer that reads no settings": (
        {"optim": "adamw_torch", "optim_args": "beta1=0.8"},
        r"has no effect here: the optimizer adamw_torch does not read 'beta1'",
    ),
    "an optimizer's unknown name": (
        {"optim": "sgd", "optim_args": "momentum=0.9,momentun=0.8"},
        r"the optimizer sgd does not read 'momentun'",
    ),
    "an optimizer's value of a wrong type": (
        {"optim": "sgd", "optim_args": "momentum=much"},
        r"'optim_args=momentum=much' does not fit sgd",
    ),
    "settings that contradict each other": (
        {"optim": "sgd", "optim_args": "nesterov=true"},
        r"does not fit sgd: Nesterov momentum requires a momentum",
    ),
    "no settings at all": ({"optim": "sgd", "optim_args": "momentum"}, r"expected KEY=VALUE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_that_nothing_takes_is_refused_before_rows_are_read(
    case: str, tmp_path: Path
) -> None:
    settings, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        config(tmp_path, **settings)


def test_a_recipe_says_the_same_with_exit_code_2(tmp_path: Path) -> None:
    content = {
        "data": {"path": "pairs.jsonl"},
        "output_dir": str(tmp_path / "run"),
        "training": {"use_cpu": True, "lr_scheduler_type": "cosine"},
    }
    settings = {"training.lr_scheduler_kwargs": {"cycles": 1}}
    recipe = resolve_recipe(content, settings=settings, source="the test")
    with pytest.raises(RecipeError, match="cosine does not take 'cycles'") as caught:
        training_config(recipe)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 0.0, "power": 2}},
        {**PLATEAU, "lr_scheduler_kwargs": {"patience": 2}},
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 2}},
        {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true"},
        {"optim": "sgd", "optim_args": "momentum=0"},
        {"optim": "rmsprop", "optim_args": "alpha=0.9"},
    ],
    ids=str,
)
def test_what_the_optimizer_and_the_schedule_take_passes(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config(tmp_path, **settings)
