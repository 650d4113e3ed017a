"""``tgdpo export``: the benchmarks' own files from answers, and what is refused before any work."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.core.exchange.questions_of_tests import ALPACA, ARENA_V01, ARENA_V2, MT_BENCH, lines
from tgdpo_cli.main import cli
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, write_answers
from tgdpo_core.generation.engines import EngineSettings, open_in_process
from tgdpo_core.generation.sampling import Sampling


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def exported(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Answers to all questions of one turn, and to both turns of MT-Bench."""
    asked: list[tuple[Any, str]] = [
        (text, f" Said of {text} ")
        for text in (
            *(row["instruction"] for row in ALPACA),
            *(row["turns"][0]["content"] for row in ARENA_V01),  # type: ignore[index]
            "A poem on lists.",
        )
    ]
    for row in MT_BENCH:
        first, second = row["turns"]  # type: ignore[misc]
        asked.append((first, f"One: {first}"))
        talk = [("user", first), ("assistant", f"One: {first}"), ("user", second)]
        asked.append(([{"role": r, "content": c} for r, c in talk], f"Two: {second}"))
    path = tmp_path / "mine.answers.jsonl"
    write_answers(path, (AnsweredPrompt(p, (Answer(t, True, 7),)) for p, t in asked))
    return path


def test_alpaca_eval(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    questions = lines(tmp_path / "eval.jsonl", ALPACA)
    exported("alpaca-eval", answers, "--prompts", questions, "--output-dir", out)
    rows = json.loads((out / "results/mine/model_outputs.json").read_text())
    assert [row["output"] for row in rows] == ["Said of Name a colour.", "Said of Name a tree."]
    assert {row["generator"] for row in rows} == {"mine"}
    config = yaml.safe_load((out / "models_configs/mine/configs.yaml").read_text())
    assert config == {"mine": {"pretty_name": "mine"}}


def test_mt_bench_in_two_turns(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    exported("mt-bench", answers, "--prompts", questions, "--output-dir", out, "--name", "a-model")
    rows = rows_of(out / "data/mt_bench/model_answer/a-model.jsonl")
    assert [row["question_id"] for row in rows] == [7, 81, 82, 150]
    assert rows[1]["choices"][0]["turns"] == ["One: What is 1 + 1?", "Two: And twice that?"]
    assert rows_of(out / "data/mt_bench/question.jsonl") == MT_BENCH


@pytest.mark.parametrize(
    ("questions", "folder", "key"),
    [(ARENA_V01, "arena-hard-v0.1", "question_id"), (ARENA_V2, "arena-hard-v2.0", "uid")],
)
def test_arena_hard(
    questions: Sequence[Any], folder: str, key: str, answers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    path = lines(tmp_path / "q.jsonl", questions)
    exported(
        "arena-hard", answers, "--prompts", path, "--output-dir", out, "--token-count", "model"
    )
    rows = rows_of(out / "data" / folder / "model_answer/mine.jsonl")
    assert [row[key] for row in rows] == [row[key] for row in questions]
    metadata = rows[0].get("metadata", rows[0].get("conv_metadata"))
    assert metadata["token_len"] == 6


def test_what_was_exported_can_be_exported_again(answers: Path, tmp_path: Path) -> None:
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    exported("mt-bench", answers, "--prompts", questions, "--output-dir", tmp_path / "a")
    kept = tmp_path / "a/tgdpo/mine.answers.jsonl"
    exported("mt-bench", kept, "--prompts", questions, "--output-dir", tmp_path / "b")
    first, second = (
        rows_of(tmp_path / name / "data/mt_bench/model_answer/mine.jsonl") for name in "ab"
    )
    assert [r["choices"] for r in first] == [r["choices"] for r in second]


def test_cut_and_empty_answers_are_counted(tmp_path: Path) -> None:
    given = [(ALPACA[0], Answer("Re", False, 2)), (ALPACA[1], Answer("  ", True, 1))]
    path = tmp_path / "mine.jsonl"
    write_answers(path, (AnsweredPrompt(row["instruction"], (a,)) for row, a in given))
    questions = lines(tmp_path / "eval.jsonl", ALPACA)
    result = exported("alpaca-eval", path, "--prompts", questions, "--output-dir", tmp_path / "o")
    assert "2 answers to 2 questions, 1 cut at the most tokens, 1 empty" in result.output
    record = json.loads((tmp_path / "o/tgdpo/mine.json").read_text())
    assert record["counts"]["unfinished"] == record["counts"]["empty"] == 1


def test_answers_that_are_there_are_not_replaced_unasked(answers: Path, tmp_path: Path) -> None:
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    arguments = ("mt-bench", answers, "--prompts", questions, "--output-dir", tmp_path / "out")
    exported(*arguments)
    assert isinstance(run(*arguments).exception, UsageError)
    exported(*arguments, "--overwrite")
    others = run(*arguments, "--name", "other", "--limit", "2")
    assert "other questions" in str(others.exception)


def test_a_file_without_an_answer_is_named_and_nothing_is_written(
    answers: Path, tmp_path: Path
) -> None:
    more = [*MT_BENCH, {"question_id": 1, "category": "math", "turns": ["New?", "Newer?"]}]
    questions = lines(tmp_path / "q.jsonl", more)
    result = run("mt-bench", answers, "--prompts", questions, "--output-dir", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    assert "New?" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("benchmark", "rows", "options", "said"),
    [
        ("alpaca-eval", ALPACA, ("--num-choices", "2"), "one answer a question"),
        ("mt-bench", MT_BENCH, ("--link", "https://x.example"), "--link"),
        ("mt-bench", MT_BENCH, ("--name", "a/b"), "without slashes"),
        ("mt-bench", MT_BENCH, ("--name", "a", "--name", "b"), "2 given for 1"),
        ("mt-bench", MT_BENCH, ("--token-count", "model"), "--token-count"),
    ],
)
def test_options_without_a_place_are_refused(
    benchmark: str,
    rows: Sequence[Any],
    options: tuple[str, ...],
    said: str,
    answers: Path,
    tmp_path: Path,
) -> None:
    questions = lines(tmp_path / "q.jsonl", rows)
    result = run(
        benchmark, answers, "--prompts", questions, "--output-dir", tmp_path / "out", *options
    )
    assert result.exit_code == 2
    assert said in result.output


def test_a_name_that_no_file_can_have_is_refused_before_anything_is_generated(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("generated")

    monkeypatch.setattr("tgdpo_core.generation.in_process.InProcess.draw", never)
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    result = run(
        *("mt-bench", model_folder, "--prompts", questions, "--output-dir", tmp_path / "out"),
        *("--name", "n" * 300),
    )
    assert isinstance(result.exception, UsageError)
    assert "300 bytes, at most 200" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_the_longest_name_that_is_allowed_can_be_written(answers: Path, tmp_path: Path) -> None:
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    name = "é" * 100
    exported(
        *("mt-bench", answers, "--prompts", questions, "--output-dir", tmp_path / "out"),
        *("--name", name),
    )
    assert (tmp_path / f"out/data/mt_bench/model_answer/{name}.jsonl").exists()


def test_options_of_drawing_are_refused_where_nothing_is_drawn(
    answers: Path, tmp_path: Path
) -> None:
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    result = run(
        *("mt-bench", answers, "--prompts", questions, "--output-dir", tmp_path / "out"),
        *("--temperature", "1"),
    )
    assert result.exit_code == 2
    assert "--temperature" in result.output


def test_a_model_answers_both_turns_and_is_not_asked_again(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    questions = lines(tmp_path / "q.jsonl", MT_BENCH[:2])
    arguments = ("mt-bench", model_folder, "--prompts", questions, "--max-new-tokens", "6")
    exported(*arguments, "--output-dir", tmp_path / "a", "--name", "m", "--num-choices", "2")
    kept = rows_of(tmp_path / "a/tgdpo/m.answers.jsonl")
    assert len(kept) == 8
    seconds = [row for row in kept if len(row["prompt"]) == 3]
    texts = {row["answers"][0]["text"].strip() for row in kept if len(row["prompt"]) == 1}
    assert {row["prompt"][1]["content"] for row in seconds} == texts
    maths = [row for row in kept if row["columns"]["category"] == "math"]
    writing = [row for row in kept if row["columns"]["category"] == "writing"]
    assert {row["answers"][0]["seed"] for row in maths} == {None}
    assert len({row["answers"][0]["seed"] for row in writing}) > 1

    def never(*_: Any) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr("tgdpo_core.generation.in_process.InProcess.draw", never)
    exported(*arguments, "--output-dir", tmp_path / "b", "--name", "m", "--num-choices", "2")
    first, second = (
        rows_of(tmp_path / name / "data/mt_bench/model_answer/m.jsonl") for name in "ab"
    )
    assert [r["choices"] for r in first] == [r["choices"] for r in second]


def test_the_config_of_a_model_holds_its_prompt_and_settings(
    model_folder: Path, tmp_path: Path
) -> None:
    questions = lines(tmp_path / "eval.jsonl", ALPACA)
    exported(
        *("alpaca-eval", model_folder, "--prompts", questions, "--output-dir", tmp_path / "o"),
        *("--name", "m", "--max-new-tokens", "4", "--temperature", "0", "--raw"),
    )
    config = yaml.safe_load((tmp_path / "o/models_configs/m/configs.yaml").read_text())["m"]
    assert config["completions_kwargs"] == {
        "model_name": str(model_folder),
        "max_new_tokens": 4,
        "do_sample": False,
    }
    assert (tmp_path / "o/models_configs/m/prompt.txt").read_text() == "{instruction}"
    rows = json.loads((tmp_path / "o/results/m/model_outputs.json").read_text())
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in ALPACA]


def test_raw_text_cannot_hold_two_turns(model_folder: Path, tmp_path: Path) -> None:
    questions = lines(tmp_path / "q.jsonl", MT_BENCH)
    result = run(
        *("mt-bench", model_folder, "--prompts", questions, "--output-dir", tmp_path / "o"),
        *("--raw", "--max-new-tokens", "2"),
    )
    assert isinstance(result.exception, DataError)
    assert "--raw" in str(result.exception)


def test_the_prompt_of_the_config_is_what_the_model_is_sent(
    model_folder: Path, tmp_path: Path
) -> None:
    questions = lines(tmp_path / "eval.jsonl", ALPACA)
    exported(
        *("alpaca-eval", model_folder, "--prompts", questions, "--output-dir", tmp_path / "o"),
        *("--name", "m", "--max-new-tokens", "2"),
    )
    prompt = (tmp_path / "o/models_configs/m/prompt.txt").read_text()
    engine = open_in_process(str(model_folder), EngineSettings())
    message = [{"role": "user", "content": "Name a colour."}]
    (ids,) = engine.lay_out([PreferencePair(message, "", "", "here")], Sampling())
    text = prompt.replace("{instruction}", "Name a colour.")
    assert engine.tokenizer(text)["input_ids"] == list(ids)
    assert prompt != "{instruction}"
