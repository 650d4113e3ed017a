"""``tgdpo train`` with induced rewards of a model in other tokens, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import find_source
from tgdpo_plugins.token_rewards.induced import Induced

Train = Callable[..., int]


@pytest.fixture
def train(tmp_path: Path, model_folder: Path, gsm8k_file: Path) -> Train:
    """A function that trains two steps on six gsm8k pairs and returns the exit code."""
    fixed = {"max_steps": 2, "per_device_train_batch_size": 3, "use_cpu": True, "report_to": "none"}

    def make(*reward_args: str, run_name: str = "run") -> int:
        command = ["train", "--model", str(model_folder), "--dataset", str(gsm8k_file)]
        command += ["--output-dir", str(tmp_path / run_name), "--reward-plugin", "induced"]
        command += [part for arg in reward_args for part in ("--reward-arg", arg)]
        command += [part for k, v in fixed.items() for part in ("--set", f"training.{k}={v}")]
        return run(lambda: cli.main(command, prog_name="tgdpo", standalone_mode=False))

    return make


def test_a_model_in_other_tokens_trains_the_policy(
    train: Train,
    tmp_path: Path,
    other_models: tuple[Path, Path],
    other_tokenizer: Any,
    gsm8k_file: Path,
    logratios_by_hand: Callable[..., Any],
) -> None:
    model, reference = other_models
    assert train(f"model={model}", f"reference={reference}", "tokenizer=own", "beta=0.5") == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert facts["status"] == "done"
    by_hand, total = logratios_by_hand(model, reference), 0.0
    for line in gsm8k_file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = other_tokenizer(row["prompt"])["input_ids"]
        for side in ("chosen", "rejected"):
            full = other_tokenizer(row["prompt"] + row[side])["input_ids"]
            assert full[: len(prompt)] == prompt
            response = [*full[len(prompt) :], other_tokenizer.eos_token_id]
            total += by_hand(prompt, response).sum().item()
    tokens = facts["data"]["tokens"]
    num_tokens = tokens["chosen"] + tokens["rejected"]
    found = facts["diagnostics"]["rewards"][0]["mean"] * num_tokens
    assert found == pytest.approx(0.5 * total, abs=1e-3)


def test_steps_of_a_model_in_other_tokens_train_the_policy(
    train: Train, tmp_path: Path, other_models: tuple[Path, Path]
) -> None:
    model, reference = other_models
    arguments = ("tokenizer=own", "granularity=step", "place=last")
    assert train(f"model={model}", f"reference={reference}", *arguments) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert facts["diagnostics"]["rewards"][0]["std"] > 0


# -- what is refused ------------------------------------------------------------------------------


def test_another_tokenizer_is_refused_and_the_option_named(
    train: Train, other_models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"model={other_models[0]}") == 4
    message = capsys.readouterr().err
    assert "differs from the policy's" in message
    assert "--reward-arg tokenizer=own --reward-arg reference=MODEL" in message


def test_own_tokens_without_a_reference_are_refused(
    train: Train, other_models: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"model={other_models[0]}", "tokenizer=own") == 4
    assert "tokenizer=own needs reference" in capsys.readouterr().err


def test_a_reference_in_other_tokens_than_the_model_is_refused(
    train: Train,
    other_models: tuple[Path, Path],
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(f"model={other_models[0]}", f"reference={model_folder}", "tokenizer=own") == 4
    assert f"differs from that of '{other_models[0]}'" in capsys.readouterr().err


def test_a_tokenizer_without_eos_is_refused_with_its_model(
    train: Train,
    tmp_path: Path,
    other_models: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = shutil.copytree(other_models[0], tmp_path / "no-eos")
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("eos_token")
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert train(f"model={model}", f"reference={other_models[1]}", "tokenizer=own") == 4
    message = capsys.readouterr().err
    assert f"tokenizer of '{model}'" in message
    assert "no EOS token" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"place": "last"}, "place=last needs granularity"),
        ({"step_separator": "."}, "step_separator needs granularity=step"),
        ({"granularity": "step", "step_separator": ""}, "ends no step"),
        ({"granularity": "step", "step_separator": "\\n"}, "a line break is one character"),
        ({"granularity": "word"}, "granularity"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    options: dict[str, str], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        find_source(PluginManager(), "induced", {"model": "m", **options})


# -- the store ------------------------------------------------------------------------------------


def stored_as(**options: Any) -> Any:
    return source_document(find_source(PluginManager(), "induced", options))


def test_every_option_that_decides_values_moves_the_stores_key(
    other_models: tuple[Path, Path],
) -> None:
    model, reference = map(str, other_models)
    options: list[dict[str, Any]] = [
        {"model": model},
        {"model": reference},
        {"model": model, "reference": reference},
        {"model": model, "reference": reference, "tokenizer": "own"},
        {"model": model, "granularity": "step"},
        {"model": model, "granularity": "step", "place": "last"},
        {"model": model, "granularity": "step", "step_separator": ". "},
        {"model": model, "granularity": "response"},
    ]
    documents = [json.dumps(stored_as(**o), sort_keys=True) for o in options]
    assert len(set(documents)) == len(documents)


def test_beta_and_paths_do_not_move_the_stores_key(
    tmp_path: Path, other_models: tuple[Path, Path]
) -> None:
    copy = shutil.copytree(other_models[0], tmp_path / "copy")
    assert stored_as(model=str(copy), beta=3.0) == stored_as(model=str(other_models[0]))


def test_own_tokens_name_the_tokenizer_in_the_stores_key(
    tmp_path: Path, other_models: tuple[Path, Path]
) -> None:
    copy = shutil.copytree(other_models[0], tmp_path / "copy")
    (copy / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    own = {"reference": str(other_models[1]), "tokenizer": "own"}
    assert stored_as(model=str(copy)) == stored_as(model=str(other_models[0]))
    assert stored_as(model=str(copy), **own) != stored_as(model=str(other_models[0]), **own)


@pytest.mark.checkout
def test_every_option_is_on_the_page() -> None:
    page = (Path(__file__).parents[4] / "docs" / "induced.md").read_text(encoding="utf-8")
    for name in Induced(model="m").options():
        assert f"`{name}" in page
