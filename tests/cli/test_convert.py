"""tgdpo convert: from a file of another program to a recipe that validates."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli, run


def tgdpo(*arguments: str) -> Result:
    """Return what a command line says, errors as the program prints them."""
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def trl(tmp_path: Path, rows_file: Path, model_folder: Path) -> Path:
    """A configuration of ``trl dpo``."""
    path = tmp_path / "trl.yaml"
    content = {"model_name_or_path": str(model_folder), "dataset_name": str(rows_file)}
    content |= {"beta": 0.2, "learning_rate": 5e-7, "output_dir": str(tmp_path / "run")}
    path.write_text(yaml.safe_dump(content))
    return path


def test_what_is_written_validates_and_every_key_is_said(trl: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    done = tgdpo("convert", str(trl), "--output", str(recipe))
    assert done.exit_code == 0, done.stderr
    assert f"tgdpo validate --config {recipe}" in done.stdout
    for key in yaml.safe_load(trl.read_text()):
        assert key in done.stderr
    found = tgdpo("validate", "--config", str(recipe), "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["loss"]["beta"] == 0.2
    content = yaml.safe_load(recipe.read_text())
    assert content["data"]["max_length"] == 1024  # TRL's default, not ours


def test_llama_factory_with_its_dataset_info_validates(
    tmp_path: Path, rows_file: Path, model_folder: Path
) -> None:
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    asked = [{"ask": r["prompt"], "good": r["chosen"], "bad": r["rejected"]} for r in rows]
    data = tmp_path / "data"
    data.mkdir()
    (data / "pairs.json").write_text(json.dumps(asked))
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    info = {"mine": {"file_name": "pairs.json", "ranking": True, "columns": columns}}
    (data / "dataset_info.json").write_text(json.dumps(info))
    config = tmp_path / "examples" / "dpo.yaml"
    config.parent.mkdir()
    content = {"stage": "tgdpo", "model_name_or_path": str(model_folder), "dataset": "mine"}
    content |= {"tgdpo_reward_model": str(model_folder), "template": "llama3", "bf16": True}
    content |= {"finetuning_type": "full", "output_dir": str(tmp_path / "run")}
    config.write_text(yaml.safe_dump(content))
    recipe = tmp_path / "recipe.yaml"
    done = tgdpo("convert", str(config), "--output", str(recipe))
    assert done.exit_code == 0, done.stderr
    found = tgdpo("validate", "--config", str(recipe), "--json")
    assert found.exit_code == 0, (found.stderr, found.exception)
    document = json.loads(found.stdout)
    assert document["data"]["pairs"] == len(rows)
    assert document["reward"][0]["name"] == "induced"


def test_a_refused_key_writes_nothing_and_says_what_to_do(
    trl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trl.write_text(trl.read_text() + "ld_alpha: 0.5\n")
    recipe = tmp_path / "recipe.yaml"
    words = ["convert", str(trl), "--output", str(recipe)]
    code = run(lambda: cli.main(words, prog_name="tgdpo", standalone_mode=False))
    said = capsys.readouterr()
    assert code == 2
    assert "- ld_alpha: tgdpo has no such loss" in said.err
    assert "--without ld_alpha" in said.err
    assert not recipe.exists()
    assert tgdpo(*words, "--without", "ld_alpha").exit_code == 0
    assert "Left out, numbers may change: ld_alpha" in recipe.read_text()


def test_a_file_that_is_there_is_kept(trl: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("mine")
    done = tgdpo("convert", str(trl), "--output", str(recipe))
    assert done.exit_code == 2
    assert recipe.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_name_or_path: m\ndataset_name: d\n", "tgdpo convert"),
        ("stage: dpo\nmodel_name_or_path: m\n", "LLaMA-Factory. Make a recipe of it with"),
        ("recipe: playground\nvariants: {a: {}}\n", "tgdpo ablate --config"),
        ("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\n", "--accelerate-config"),
        ("base_model: m\nsequence_len: 2\n", "axolotl"),
    ],
)
@pytest.mark.parametrize("command", ["train", "validate"])
def test_another_sort_of_file_is_named_with_the_command_that_takes_it(
    command: str, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    words = [command, "--config", str(path), "--output-dir", str(tmp_path / "run")]
    assert run(lambda: cli.main(words, prog_name="tgdpo", standalone_mode=False)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
