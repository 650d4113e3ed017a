"""An option that is not there: what it is called here, where another name of it is known."""

import pytest
from click.testing import CliRunner

from tgdpo_cli.main import cli


def said(*command: str) -> str:
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--learning-rate", "It is a key of the recipe: --set training.learning_rate=VALUE."),
        ("--max_steps", "It is a key of the recipe: --set training.max_steps=VALUE."),
        ("--lr", "It is a key of the recipe: --set training.learning_rate=VALUE."),
        ("--max-length", "It is a key of the recipe: --set data.max_length=VALUE."),
        ("--model_name_or_path", "It is --model."),
        ("--ref-model", "It is --reference."),
        ("--alpha", "It is --shaping-arg alpha=VALUE."),
        ("--reward-model", "It is --reward-plugin."),
    ],
)
@pytest.mark.parametrize("command", ["train", "validate", "score", "inspect"])
def test_a_key_of_the_recipe_given_as_an_option_is_led_to_its_place(
    command: str, option: str, answer: str
) -> None:
    assert said(command, f"{option}=1") == f"Error: No such option '{option}'. {answer}"


def test_a_remark_on_the_value_is_said_behind_the_key() -> None:
    answer = said("train", "--warmup-ratio", "0.1")
    assert answer.endswith("--set training.warmup_steps=VALUE (below 1: a share of all steps).")


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_a_slip_of_an_option_is_led_to_the_option(command: str) -> None:
    assert (
        said(command, "--modle", "x") == "Error: No such option '--modle'. Did you mean '--model'?"
    )


def test_what_nothing_is_known_of_is_refused_as_before() -> None:
    assert said("train", "--xyz") == "Error: No such option '--xyz'."


def test_a_command_without_a_recipe_advises_no_key_of_one() -> None:
    assert "--set" not in said("evaluate", "--learning-rate", "1")
