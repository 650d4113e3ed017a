"""The commands on small runs: what they leave behind, what they print, what they do not import."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tgdpo_cli.main import cli
from tgdpo_core.recipe import load_recipe, resolve_recipe

Tgdpo = Callable[..., str]


@pytest.fixture
def tgdpo() -> Tgdpo:
    """A function that runs the command line, which must succeed, and returns stdout."""

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def modules_after(*arguments: str) -> set[str]:
    """Return what a command has imported, in a process of its own."""
    code = (
        "import sys, json\n"
        "from tgdpo_cli.main import cli, run\n"
        f"run(lambda: cli.main({list(arguments)!r}, standalone_mode=False))\n"
        "print('MODULES ' + json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("MODULES ")]
    return set(json.loads(line.removeprefix("MODULES ")))


def test_help_imports_neither_torch_nor_plugins() -> None:
    assert not {"torch", "transformers", "tgdpo_plugins", "pydantic"} & modules_after("--help")


def test_the_list_of_plugins_imports_no_torch() -> None:
    assert not {"torch", "transformers"} & modules_after("plugins", "list")


def test_validate_imports_no_torch(rows_file: Path, model_folder: Path) -> None:
    loaded = modules_after(
        "validate", "--dataset", str(rows_file), "--model", str(model_folder),
        "--reward-plugin", "induced", "--reward-arg", f"model={model_folder}",
        "--reward-transform", "rms", "--set", "training.learning_rate=1e-6",
    )  # fmt: skip
    assert not {"torch", "transformers"} & loaded


def test_dpo_then_tgdpo_on_the_reward_it_induces(
    tgdpo: Tgdpo, rows_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    common = ["--model", str(model_folder), "--dataset", str(rows_file)]
    common += ["--eval-dataset", str(rows_file), "--set", "data.max_shares.eval_overlap=1"]
    for setting in ("learning_rate=3e-3", "num_train_epochs=4", "logging_steps=1", "use_cpu=true"):
        common += ["--set", f"training.{setting}"]
    dpo, induced, again = (tmp_path / name for name in ("dpo", "induced", "again"))
    tgdpo("train", *common, "--reward-plugin", "none", "--output-dir", str(dpo))
    reward = ["--reward-plugin", "induced", "--reward-arg", f"model={dpo}"]
    reward += ["--reward-arg", "beta=0.1"]
    tgdpo("train", *common, *reward, "--output-dir", str(induced))
    for folder in (dpo, induced):
        record = json.loads((folder / "run.json").read_text())
        assert (record["status"], record["exit_code"]) == ("done", 0)
        rows = [json.loads(x) for x in (folder / "logs" / "train.jsonl").read_text().splitlines()]
        losses = [row["loss"] for row in rows if "loss" in row]
        assert losses[-1] < 0.8 * losses[0]
        assert any("eval_loss" in row for row in rows)
        for name in ("config.yaml", "README.md", "model/model.safetensors"):
            assert (folder / name).is_file(), name
        assert not list(folder.rglob("training_args.bin"))
    assert json.loads((induced / "run.json").read_text())["diagnostics"]["chosen"]["std"] > 0
    # Another learning rate, alpha, beta and folder: nothing is computed again.
    changed = ["--beta", "0.3", "--shaping-arg", "alpha=2", "--output-dir", str(again)]
    tgdpo("train", *common, *reward, *changed, "--set", "training.learning_rate=1e-5")
    store = json.loads((again / "run.json").read_text())["store"]
    assert (store["computed"], store["reused"]) == (0, 4 * 12)
    # The resolved recipe runs again as it is.
    recipe = yaml.safe_load((again / "config.yaml").read_text())
    assert resolve_recipe(recipe).shaping.args == {"alpha": "2"}


def test_scoring_first_leaves_nothing_to_compute_in_training(
    tgdpo: Tgdpo, rows_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    common = ["--model", str(model_folder), "--dataset", str(rows_file)]
    common += ["--reward-plugin", "random", "--set", "training.use_cpu=true"]
    common += ["--set", "training.max_steps=1"]
    first = json.loads(tgdpo("score", *common, "--json"))
    assert (first["computed"], first["reused"]) == (24, 0)
    tgdpo("train", *common, "--output-dir", str(tmp_path / "run"))
    store = json.loads((tmp_path / "run" / "run.json").read_text())["store"]
    assert (store["computed"], store["reused"]) == (0, 24)


def test_chat_data_train_with_and_without_a_chat_template(
    tgdpo: Tgdpo, model_folder: Path, tmp_path: Path
) -> None:
    rows = [
        {
            "conversations": [{"from": "human", "value": f"What is {i}?"}],
            "chosen": {"from": "gpt", "value": f"It is {i}."},
            "rejected": {"from": "gpt", "value": "I can not do that."},
        }
        for i in range(4)
    ]
    data = tmp_path / "chat.json"
    data.write_text(json.dumps(rows))
    command = ["train", "--model", str(model_folder), "--dataset", str(data)]
    command += ["--set", "training.use_cpu=true", "--set", "training.max_steps=1"]
    tgdpo(*command, "--output-dir", str(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["layout"] == "plain"


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("accelerate/ddp", "tgdpo train --config RECIPE --accelerate-config"),
        ("accelerate/fsdp2.yaml", "tgdpo train --config RECIPE --accelerate-config"),
        ("slurm/train.sbatch", "sbatch"),
        ("dimensions", "tgdpo evaluate RUN... --dimensions"),
    ],
)
def test_recipes_of_other_kinds_are_copied_as_they_are(
    name: str, use: str, tmp_path: Path, tgdpo: Tgdpo
) -> None:
    copy = tmp_path / "copy"
    assert f"{use} {copy}" in tgdpo("recipes", "copy", name, str(copy))
    assert copy.read_text() == tgdpo("recipes", "show", name)
    assert name.partition(".")[0] in tgdpo("recipes", "list")


def test_every_shipped_recipe_is_valid(tmp_path: Path, tgdpo: Tgdpo) -> None:
    lines = tgdpo("recipes", "list").splitlines()[1:]
    commands = dict(line.split()[:2] for line in lines if "/" not in line.split()[0])
    assert commands["playground"] == "train"
    assert commands["playground-rewards"] == "ablate"
    assert commands.pop("dimensions") == "evaluate"
    for name, command in commands.items():
        copy = str(tmp_path / f"{name}.yaml")
        assert f"tgdpo {command} --config {copy}" in tgdpo("recipes", "copy", name, copy)
        assert yaml.safe_load(tgdpo("recipes", "show", name)) is not None
        if command == "ablate":
            tgdpo("ablate", "--config", copy, "--dry-run")
            tgdpo("ablate", "--config", copy, "--dry-run", "--quick")
        else:
            resolve_recipe(load_recipe(copy))


def test_plugins_can_be_listed_and_explained(tgdpo: Tgdpo) -> None:
    listed: dict[str, Any] = json.loads(tgdpo("plugins", "list", "--json"))
    names = {(item["kind"], item["name"]) for item in listed["plugins"]}
    assert {
        ("token-reward", "none"),
        ("token-reward", "induced"),
        ("token-reward", "random"),
        ("token-reward", "column"),
        ("token-reward", "playground-oracle"),
        ("shaping", "linear"),
        ("shaping", "constant"),
        ("dataset", "playground"),
        ("judge", "verifier"),
    } <= names
    assert all(item["summary"] for item in listed["plugins"])
    shown = tgdpo("plugins", "show", "random")
    for word in ("seed", "int", "seed of the noise"):
        assert word in shown


def test_a_plugin_may_add_a_command(tmp_path: Path, tgdpo: Tgdpo) -> None:
    plugin = tmp_path / "hello.py"
    plugin.write_text(
        "import click\nfrom tgdpo_core import hookimpl\n"
        "@hookimpl\ndef register_commands(cli):\n"
        "    @cli.command('hello')\n    def hello():\n        click.echo('hello from a plugin')\n"
    )
    assert "hello from a plugin" in tgdpo("--plugin-file", str(plugin), "hello")


def test_models_are_evaluated_on_the_playground(tgdpo: Tgdpo) -> None:
    command = ["evaluate", "playground", "--dataset", "playground", "--judge", "verifier"]
    command += ["--limit", "20", "--max-new-tokens", "32", "--json"]
    (row,) = json.loads(tgdpo(*command))["models"]
    assert row["num_prompts"] == 20
    assert 0 < row["sampled"]["mean"] < 1
