"""``tgdpo pairs``: from prompts or answers to a data set that ``tgdpo train`` reads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tgdpo_cli.main import cli
from tgdpo_core.errors import DataError, UsageError

PLUGIN = r'''
import json
from pathlib import Path
from tgdpo_core import Judge, Unjudged, hookimpl, option

class Counted(Judge):
    """Length of an answer; each question is written down."""
    def score(self, batch):
        with open("{log}", "a") as file:
            file.writelines(str(len(item.response)) for item in batch)
        return [float(len(item.response)) for item in batch]

class Longer(Judge):
    """The longer of two answers."""
    reads = "comparisons"
    def compare(self, batch):
        return [float(len(c.first.response) > len(c.second.response)) for c in batch]

class Nothing(Judge):
    """No verdict."""
    def score(self, batch):
        return [Unjudged("no verdict in the reply") for _ in batch]

@hookimpl
def register_judges(register):
    register("counted", Counted)
    register("longer", Longer)
    register("nothing", Nothing)
'''


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["pairs", *arguments])


def with_plugin(tmp_path: Path, *arguments: str) -> Result:
    plugin = tmp_path / "judges.py"
    plugin.write_text(PLUGIN.replace("{log}", str(tmp_path / "log")))
    return CliRunner().invoke(cli, ["--plugin-file", str(plugin), "pairs", *arguments])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def write_answers(path: Path, answers: dict[str, Sequence[str]]) -> Path:
    lines = [
        {
            "prompt": prompt,
            "answers": [
                {"text": t, "finished": not t.endswith("..."), "num_tokens": len(t), "seed": i}
                for i, t in enumerate(texts)
            ],
            "columns": {"topic": "tea"},
        }
        for prompt, texts in answers.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    texts = {"p": ["a lovely day", "a sad day", "a day"], "q": ["yes", "yes ", "cut..."]}
    return write_answers(tmp_path / "answers.jsonl", texts)


@pytest.fixture
def given(answers: Path, tmp_path: Path) -> list[str]:
    return ["--answers", str(answers), "--judge", "mood", "--output", str(tmp_path / "made")]


def test_answers_that_are_there_become_pairs_with_a_card(given: list[str], tmp_path: Path) -> None:
    result = run(*given, "--license", "mit", "--name", "Moods")
    assert result.exit_code == 0, result.output
    (row,) = rows_of(tmp_path / "made")
    assert (row["chosen"], row["rejected"], row["topic"]) == ("a lovely day", "a sad day", "tea")
    card = (tmp_path / "made" / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card
    assert "# Moods" in card
    assert "Answers left out: 1 duplicate, 1 unfinished." in card
    assert "Prompts without a pair: 1 fewer than two answers." in result.output


def test_the_hub_reads_the_card(given: list[str], tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    assert run(*given).exit_code == 0
    data = DatasetCard.load(tmp_path / "made" / "README.md").data
    assert data.license == "unknown"
    assert data.to_dict()["configs"][0]["data_files"] == [{"split": "train", "path": "train.jsonl"}]


def test_the_same_command_makes_the_same_bytes(given: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "made"
    before = [run(*given).exit_code, (folder / "train.jsonl").read_bytes()]
    card = (folder / "README.md").read_bytes()
    assert [run(*given).exit_code, (folder / "train.jsonl").read_bytes()] == before
    assert (folder / "README.md").read_bytes() == card


def test_another_rule_asks_the_judge_nothing_again(answers: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ["--answers", str(answers), "--judge", "counted"]
    arguments += ["--output", str(tmp_path / "made")]
    assert with_plugin(tmp_path, *arguments).exit_code == 0
    asked = log.read_text()
    refused = with_plugin(tmp_path, *arguments, "--rule", "margin", "--min-gap", "1")
    assert isinstance(refused.exception, UsageError)
    assert "other settings (min_gap, rule)" in str(refused.exception)
    done = with_plugin(tmp_path, *arguments, "--rule", "margin", "--min-gap", "1", "--overwrite")
    assert done.exit_code == 0, done.output
    assert len(rows_of(tmp_path / "made")) == 3
    assert log.read_text() == asked


def test_what_pairs_asked_evaluate_does_not_ask_again(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    chats = [{"prompt": [{"role": "user", "content": text}], "tools": tools} for text in "ab"]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    drawn = ["--samples", "3", "--max-new-tokens", "6", "--judge", "counted"]
    asked = ["--dataset", "rows.jsonl", "--model", str(model_folder), "--keep-unfinished"]
    made = with_plugin(tmp_path, *asked, *drawn, "--output", "made", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["judged"]["asked"] == 6
    for mode in ("--prompts", "--dataset"):
        evaluate = ["evaluate", str(model_folder), mode, "rows.jsonl", *drawn]
        judged = CliRunner().invoke(cli, ["--plugin-file", "judges.py", *evaluate])
        assert judged.exit_code == 0, judged.output
        assert "counted: asked about 0 answers, 6 known from before." in judged.stdout


def test_scores_of_a_folder_from_before_are_said_to_be_unread(
    given: list[str], tmp_path: Path
) -> None:
    assert run(*given).exit_code == 0
    old = tmp_path / "made" / "made" / "scores-0.jsonl"
    old.write_text('{"asked": "k", "score": 1.0}\n')
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert f"{old} is not read" in result.stderr.replace("\n", " ")


def test_several_files_are_several_models(answers: Path, tmp_path: Path) -> None:
    other = write_answers(tmp_path / "other.jsonl", {"p": ["a lovely lovely evening"]})
    arguments = ["--answers", str(answers), "--answers", str(other), "--judge", "longer"]
    result = with_plugin(tmp_path, *arguments, "--output", str(tmp_path / "made"))
    assert result.exit_code == 0, result.output
    (row,) = rows_of(tmp_path / "made")
    assert (row["chosen_model"], row["rejected_model"]) == ("other", "answers")
    assert (row["chosen_score"], row["rejected_score"]) == (1.0, 0.0)


def test_nothing_left_ends_with_the_counts(answers: Path, tmp_path: Path) -> None:
    arguments = ["--answers", str(answers), "--judge", "nothing", "--output", str(tmp_path / "m")]
    result = with_plugin(tmp_path, *arguments)
    assert isinstance(result.exception, DataError)
    assert "No pair is left" in str(result.exception)
    assert "unjudged: no verdict in the reply" in str(result.exception)
    assert not (tmp_path / "m" / "train.jsonl").exists()


def test_a_model_answers_prompts_and_train_reads_what_was_made(
    model_folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Say {i}"}) + "\n" for i in range(4)))
    folder = tmp_path / "made"
    arguments = ["--dataset", str(prompts), "--model", str(model_folder), "--max-new-tokens", "6"]
    arguments += ["--judge", "longer", "--keep-unfinished", "--output", str(folder)]
    result = with_plugin(tmp_path, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["prompts"], found["answers"]) == (4, 16)
    assert found["pairs"] == len(rows_of(folder)) > 0
    recipe = ["--model", str(model_folder), "--dataset", str(folder)]
    checked = CliRunner().invoke(
        cli, ["validate", *recipe, "--set", f"output_dir={tmp_path / 'run'}"]
    )
    assert checked.exit_code == 0, checked.output


def test_given_responses_compete(tmp_path: Path, model_folder: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "p", "chosen": "x" * 90, "rejected": "y"}) + "\n")
    arguments = ["--dataset", str(rows), "--model", str(model_folder), "--max-new-tokens", "3"]
    arguments += ["--judge", "longer", "--with-given", "--output", str(tmp_path / "made")]
    result = with_plugin(tmp_path, *arguments)
    assert result.exit_code == 0, result.output
    assert rows_of(tmp_path / "made")[0]["chosen_model"] == "given chosen"


def test_a_given_response_that_goes_on_has_not_ended(tmp_path: Path, model_folder: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    given = {"chosen": "x" * 90, "rejected": "y", "chosen_finished": False}
    rows.write_text(json.dumps({"prompt": "p", **given}) + "\n")
    arguments = ["--dataset", str(rows), "--model", str(model_folder), "--max-new-tokens", "3"]
    arguments += ["--judge", "longer", "--with-given", "--output", str(tmp_path / "made")]
    left_out = with_plugin(tmp_path, *arguments)
    assert "unfinished" in str(left_out.exception)
    kept = with_plugin(tmp_path, *arguments, "--keep-unfinished")
    assert kept.exit_code == 0, kept.output
    (row,) = rows_of(tmp_path / "made")
    assert (row["chosen_model"], row["chosen_finished"]) == ("given chosen", False)


def test_parquet_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = write_answers(tmp_path / "a.jsonl", {"p": ["a", "bb"], "q": ["c", "dd"]})
    first, second = map(json.loads, path.read_text().splitlines())
    second["columns"] = {"topic": "tea", "level": 2}
    path.write_text("".join(json.dumps(line) + "\n" for line in (first, second)))
    arguments = ["--answers", str(path), "--judge", "counted", "--output", str(tmp_path / "made")]
    result = with_plugin(tmp_path, *arguments, "--write", "parquet")
    assert result.exit_code == 0, result.output
    table = pyarrow.parquet.read_table(tmp_path / "made" / "train.parquet")
    assert table.column("level").to_pylist() == [None, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": " "}, "'prompt' is empty"),
        ({"prompt": [{"content": "x"}]}, "has no 'role'"),
        ({"columns": {"messages": [{"role": "user", "content": "other"}]}}, "would be ignored"),
    ],
)
def test_prompts_that_training_would_refuse_are_refused_before_the_judge_is_asked(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = write_answers(tmp_path / "a.jsonl", {"p": ["a", "bb"]})
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    arguments = ["--answers", str(path), "--judge", "counted", "--output", str(tmp_path / "made")]
    result = with_plugin(tmp_path, *arguments)
    assert isinstance(result.exception, DataError)
    assert says in str(result.exception)
    assert "1 of 1 prompts could not be trained on" in str(result.exception)
    assert not (tmp_path / "log").exists()


def test_answers_that_training_would_refuse_are_not_written(tmp_path: Path) -> None:
    path = write_answers(tmp_path / "a.jsonl", {"p": ["a\ud83d", "bb and more"]})
    arguments = ["--answers", str(path), "--judge", "counted", "--output", str(tmp_path / "made")]
    result = with_plugin(tmp_path, *arguments)
    assert isinstance(result.exception, DataError)
    assert "1 of 1 pairs could not be trained on" in str(result.exception)
    assert not (tmp_path / "made" / "train.jsonl").exists()


def test_a_judge_that_cannot_be_set_up_is_refused_before_anything_is_drawn(
    model_folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": "Say it"}) + "\n")
    arguments = ["--dataset", str(prompts), "--model", str(model_folder), "--judge", "reward-model"]
    arguments += ["--judge-arg", f"model={tmp_path / 'none'}", "--output", str(tmp_path / "made")]
    result = run(*arguments)
    assert result.exception is not None
    assert "none" in str(result.exception)
    assert not list((tmp_path / "made" / "made").glob("*.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judge", "mood"], "Give --model or --answers"),
        (["--judge", "mood", "--model", "m"], "--model needs --dataset"),
        (["--judge", "mood", "--answers", "{a}", "--with-given"], "--with-given needs --dataset"),
        (["--judge", "mood", "--answers", "{a}", "--dataset", "d"], "--dataset: --answers are"),
        (["--judge", "mood", "--answers", "{a}", "--top-p", "0.9"], "--top-p: --answers are"),
        (["--answers", "{a}"], "Missing option '--judge'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    arguments: list[str], says: str, answers: Path, tmp_path: Path
) -> None:
    filled = [argument.format(a=answers) for argument in arguments]
    result = run(*filled, "--output", str(tmp_path / "made"))
    assert result.exit_code == 2
    assert says in result.output
    assert not (tmp_path / "made").exists()


def test_a_judge_of_given_pairs_is_refused(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    result = run("--answers", str(answers), "--judge", "likelihood", "--output", str(out))
    assert "reads the likelihoods of given pairs" in str(result.exception)
    assert not out.exists()


# -- files with options ---------------------------------------------------------------------------


def test_a_file_sets_options_and_the_command_line_goes_before_it(
    given: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("rule: margin\nmin-gap: 0.1\nmax-pairs: 1\n")
    assert run("--config", str(config), *given, "--max-pairs", "2").exit_code == 0
    record = json.loads((tmp_path / "made" / "made" / "record.json").read_text())["settings"]
    assert (record["rule"], record["min_gap"], record["max_pairs"]) == ("margin", 0.1, 2)


def test_an_unknown_key_of_a_file_is_an_error(given: list[str], tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("sampels: 3\n")
    assert "Did you mean 'samples'" in str(run("--config", str(config), *given).exception)


def test_the_papers_pairs_are_five_samples_the_best_against_the_worst(
    answers: Path, tmp_path: Path
) -> None:
    command = cli.get_command(cli.make_context("tgdpo", ["pairs"]), "pairs")
    assert command is not None
    arguments = ["--config", "pairs/paper", "--model", "m", "--output", str(tmp_path)]
    values = command.make_context("pairs", arguments).params
    names = ("samples", "temperature", "top_p", "rule", "judge")
    assert [values[name] for name in names] == [5, 0.8, 0.95, "best-worst", "reward-model"]
