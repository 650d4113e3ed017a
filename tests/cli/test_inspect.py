"""``tgdpo inspect``: pairs, sources of the recipe, and where the view goes."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli
from tgdpo_cli.output import visible_value
from tgdpo_core.errors import UsageError


@pytest.fixture
def base(model_folder: Path, rows_file: Path) -> list[str]:
    return ["--model", str(model_folder), "--dataset", str(rows_file)]


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["inspect", *arguments])


def rows_shown(output: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"^(pairs\.jsonl:\d+)", output, re.MULTILINE)))


def test_the_first_pairs_are_shown_as_a_table_where_there_are_no_colours(base: list[str]) -> None:
    result = inspect(*base, "--reward-plugin", "random", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert rows_shown(result.stdout) == ["pairs.jsonl:1", "pairs.jsonl:2"]
    assert re.search(r"^pairs\.jsonl:1 +0 +rejected +\d+ +</s> +\S+ +\S+$", result.stdout, re.M)


def test_rows_are_shown_in_the_order_asked_for(base: list[str]) -> None:
    result = inspect(*base, "--reward-plugin", "none", "--rows", "5,0")
    assert rows_shown(result.stdout) == ["pairs.jsonl:6", "pairs.jsonl:1"]


def test_a_row_that_does_not_exist_is_an_error_that_says_how_many_there_are(
    base: list[str],
) -> None:
    result = inspect(*base, "--reward-plugin", "none", "--rows", "0,12")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "There is no row 12: training pairs are 0-11."


def test_rows_that_are_no_numbers_are_a_usage_error(base: list[str]) -> None:
    result = inspect(*base, "--rows", "1;2")
    assert result.exit_code == 2
    assert "--rows 1;2: expected numbers such as 0,5." in result.output


def test_only_the_pairs_shown_are_scored(base: list[str]) -> None:
    inspect(*base, "--reward-plugin", "random", "--limit", "2")
    listed = json.loads(CliRunner().invoke(cli, ["store", "list", "--json"]).stdout)
    entries = {each["what"]: each["entries"] for each in listed["collections"]}
    assert entries["token_rewards: random"] == 2, entries


def test_a_fitted_transform_is_fitted_on_the_whole_training_set(base: list[str]) -> None:
    shown = []
    for limit in ("1", "12"):
        result = inspect(
            *base, "--reward-plugin", "random", "--reward-transform", "rms", "--limit", limit
        )
        assert result.exit_code == 0, result.output
        shown.append([row for row in result.stdout.splitlines() if "pairs.jsonl:1 " in row])
    assert [line.split() for line in shown[0]] == [line.split() for line in shown[1]]


def test_html_is_one_file_with_the_recipe_at_its_head(base: list[str], tmp_path: Path) -> None:
    target = tmp_path / "tokens.html"
    result = inspect(
        *base, "--reward-plugin", "random", "--reward-arg", "seed=7", "--html", str(target)
    )
    assert result.exit_code == 0, result.output
    document = target.read_text(encoding="utf-8")
    assert document.startswith("<!doctype html>")
    assert document.count("<article") == 3
    assert "seed=7" in document
    assert "alpha=0.5" in document


def test_html_that_cannot_be_written_is_a_usage_error(base: list[str], tmp_path: Path) -> None:
    target = tmp_path / "missing" / "tokens.html"
    result = inspect(*base, "--reward-plugin", "none", "--html", str(target))
    assert isinstance(result.exception, UsageError)
    assert "tokens.html: cannot be written" in str(result.exception)


def test_a_run_folder_gives_the_recipe(base: list[str], tmp_path: Path) -> None:
    _, model, _, data = base
    (tmp_path / "config.yaml").write_text(
        f"model: {{name_or_path: '{model}'}}\n"
        f"data: {{path: '{data}'}}\n"
        "reward: [{plugin: random}]\n"
        "shaping: {name: linear, args: {alpha: 0.25}}\n"
        "output_dir: unused\n"
    )
    result = inspect(str(tmp_path), "--limit", "1")
    assert result.exit_code == 0, result.output
    assert re.search(r"shaping: linear\(.*alpha=0\.25", result.stdout)


def test_a_folder_that_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    result = inspect(str(tmp_path))
    assert isinstance(result.exception, UsageError)
    assert "is no run folder: it holds no config.yaml" in str(result.exception)


def test_a_run_folder_and_a_config_exclude_each_other(tmp_path: Path) -> None:
    result = inspect(str(tmp_path), "--config", "playground")
    assert result.exit_code == 2
    assert "not both" in result.output


def test_a_browser_of_all_pairs_is_written_as_files(base: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    rewards = ["--reward-plugin", "random", "--reward-plugin", "none"]
    result = inspect(*base, *rewards, "--pages", str(folder), "--per-page", "5")
    assert result.exit_code == 0, result.output
    assert "12 pairs in 3 pages" in result.stdout
    assert sorted(path.name for path in (folder / "pairs").iterdir()) == ["0.js", "1.js", "2.js"]
    assert '<option value="disagreement">' in (folder / "index.html").read_text()


def test_a_folder_with_other_files_is_refused_before_any_work(
    base: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("x")
    result = inspect(*base, "--pages", str(tmp_path))
    assert isinstance(result.exception, UsageError)
    assert "Training data" not in result.stdout


@pytest.mark.parametrize(
    "given", [["--html", "x.html", "--pages", "x"], ["--serve", "--pages", "x"], ["--judge", "x"]]
)
def test_views_that_exclude_each_other_are_a_usage_error(base: list[str], given: list[str]) -> None:
    assert inspect(*base, *given).exit_code == 2


def test_html_says_the_number_of_a_pair_as_rows_has_it(base: list[str], tmp_path: Path) -> None:
    target = tmp_path / "tokens.html"
    inspect(*base, "--reward-plugin", "none", "--rows", "5,0", "--html", str(target))
    titles = re.findall(r"<h2>([^<]*)</h2>", target.read_text())
    assert titles == ["pair 5 (pairs.jsonl:6)", "pair 0 (pairs.jsonl:1)"]


@pytest.mark.parametrize(
    ("value", "shown"), [("\n\n", '"\\n\\n"'), (" ", '" "'), ("", '""'), ("a b", "a b"), (3, 3)]
)
def test_blanks_and_line_breaks_of_options_can_be_seen(value: object, shown: object) -> None:
    assert visible_value(value) == shown
