"""``tgdpo evaluate`` reads rows, and trusts models, as a recipe does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import AutoModelForCausalLM, AutoTokenizer

from tgdpo_cli.evaluation_rows import row_options
from tgdpo_cli.main import cli
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.recipe.columns import RowFormat

Evaluate = Callable[..., Result]
NAMES = {"prompt": "ask", "chosen": "good", "rejected": "bad"}


@pytest.fixture
def evaluate(model_folder: Path, tmp_path: Path) -> Evaluate:
    """A function: rows, options -> what the command did."""

    def call(rows: Any, *options: str, model: Path = model_folder) -> Result:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = ["evaluate", str(model), "--dataset", str(path), "--judge", "likelihood"]
        return CliRunner().invoke(cli, [*command, *options, "--json"])

    return call


def score(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["models"][0]["score"]


def test_columns_are_mapped(evaluate: Evaluate, small_rows: list[dict[str, Any]]) -> None:
    renamed = [{NAMES[name]: row[name] for name in NAMES} for row in small_rows]
    options = [part for pair in NAMES.items() for part in ("--columns", "=".join(pair))]
    assert score(evaluate(renamed, *options)) == score(evaluate(small_rows))


def test_a_column_may_be_left_alone_as_the_message_says(
    evaluate: Evaluate, small_rows: list[dict[str, Any]]
) -> None:
    rows = [{**row, "context": "other"} for row in small_rows]
    refused = evaluate(rows)
    assert isinstance(refused.exception, DataError)
    assert "with --columns context=null" in str(refused.exception)
    assert "data.columns.context" not in str(refused.exception)
    assert score(evaluate(rows, "--columns", "context=null")) == score(evaluate(small_rows))


def test_rows_that_cannot_be_read_are_left_out_as_the_message_says(
    evaluate: Evaluate, small_rows: list[dict[str, Any]]
) -> None:
    rows = [*small_rows[:2], {**small_rows[2], "rejected": None}, *small_rows[3:]]
    refused = evaluate(rows)
    assert "1 of 12 rows cannot be used" in str(refused.exception)
    assert "leave them out with --on-bad-row skip" in str(refused.exception)
    left = evaluate(rows, "--on-bad-row", "skip")
    assert score(left) == score(evaluate([*small_rows[:2], *small_rows[3:]]))
    assert "1 of 12 rows left out" in left.stderr
    assert "rows.jsonl:3" in left.stderr


def test_a_format_may_be_asked_for(evaluate: Evaluate) -> None:
    rows = [{"chosen": "What is it? A cat.", "rejected": "What is it? No dog, no cat."}]
    refused = evaluate(rows)
    assert "--format implicit" in str(refused.exception)
    assert evaluate(rows, "--format", "implicit").exit_code == 0


def test_every_format_of_a_recipe_can_be_asked_for() -> None:
    (option,) = [
        each for each in row_options(lambda: None).__click_params__ if each.name == "row_format"
    ]
    assert tuple(option.type.choices) == get_args(RowFormat)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--columns", "chosne=good"), "'chosne' is no field of a row. Did you mean 'chosen'"),
        (("--columns", "good"), "expected KEY=VALUE"),
        (("--columns", "prompt=a", "--columns", "prompt=b"), "'prompt' was given before"),
        (("--columns", "prompt=a", "--columns", "chosen=a"), "named for 'prompt' and 'chosen'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_map_that_cannot_be_meant_is_refused(
    options: tuple[str, ...], said: str, evaluate: Evaluate, small_rows: list[dict[str, Any]]
) -> None:
    result = evaluate(small_rows, *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_a_column_that_no_row_has_is_named(
    evaluate: Evaluate, small_rows: list[dict[str, Any]]
) -> None:
    rows = [{**row, "more": 1} for row in small_rows]
    result = evaluate(rows, "--columns", "moer=null")
    assert "names the column 'moer', which no row has" in str(result.exception)


def test_weights_in_a_pickle_are_read_only_when_allowed(
    evaluate: Evaluate, model_folder: Path, tmp_path: Path, small_rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path / "pickled"
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    refused = evaluate(small_rows, model=folder)
    assert isinstance(refused.exception, UsageError)
    allowed = evaluate(small_rows, "--allow-pickle", model=folder)
    assert score(allowed) == score(evaluate(small_rows))


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class MineConfig(LlamaConfig):
    model_type = "mine"

class Mine(LlamaForCausalLM):
    config_class = MineConfig
"""


def test_code_of_a_model_is_run_only_when_trusted(
    evaluate: Evaluate,
    model_folder: Path,
    tmp_path: Path,
    small_rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    folder = tmp_path / "coded"
    AutoModelForCausalLM.from_pretrained(model_folder).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    (folder / "mine.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "architectures": ["Mine"],
        "auto_map": {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    refused = evaluate(small_rows, model=folder)
    assert isinstance(refused.exception, UsageError)
    trusted = evaluate(small_rows, "--trust-remote-code", model=folder)
    assert score(trusted) == score(evaluate(small_rows))
