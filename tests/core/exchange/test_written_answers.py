"""Rows of the benchmarks' own files: their keys, their places, what is counted in them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.exchange.questions_of_tests import (
    ALPACA,
    ARENA_V01,
    ARENA_V2,
    MT_BENCH,
    Echo,
    lines,
)
from tgdpo_core.errors import UsageError
from tgdpo_core.exchange.alpaca_config import alpaca_config
from tgdpo_core.exchange.conversations import Conversation, hold
from tgdpo_core.exchange.markdown_counts import markdown_counts
from tgdpo_core.exchange.questions import Benchmark, read_questions
from tgdpo_core.exchange.token_lengths import token_lengths
from tgdpo_core.exchange.written_answers import (
    alpaca_rows,
    answer_file,
    arena_v01_rows,
    arena_v2_rows,
    mt_bench_rows,
    question_file,
)
from tgdpo_core.generation.answers import Answer


def held(tmp_path: Path, benchmark: Benchmark, rows: Any, **how: Any) -> list[Conversation]:
    questions = read_questions(lines(tmp_path / "q.jsonl", rows), benchmark).questions
    return hold(questions, Echo(), lambda _: 0.0, **how)


def test_alpaca_rows(tmp_path: Path) -> None:
    assert alpaca_rows("mine", held(tmp_path, "alpaca-eval", ALPACA))[0] == {
        "dataset": "own",
        "instruction": "Name a colour.",
        "output": "0.0 #0: Name a colour.",
        "generator": "mine",
    }


def test_mt_bench_rows_are_sorted_by_question(tmp_path: Path) -> None:
    rows = mt_bench_rows("mine", held(tmp_path, "mt-bench", MT_BENCH, num_choices=2), time=12.5)
    assert [row["question_id"] for row in rows] == [7, 81, 82, 150]
    assert {key: rows[1][key] for key in ("model_id", "choices", "tstamp")} == {
        "model_id": "mine",
        "choices": [
            {"index": 0, "turns": ["0.0 #0: What is 1 + 1?", "0.0 #0: And twice that?"]},
            {"index": 1, "turns": ["0.0 #1: What is 1 + 1?", "0.0 #0: And twice that?"]},
        ],
        "tstamp": 12.5,
    }
    assert len(rows[1]["answer_id"]) == 22


def test_the_same_answers_have_the_same_id_and_others_another(tmp_path: Path) -> None:
    talks = held(tmp_path, "mt-bench", MT_BENCH)
    ids = [row["answer_id"] for row in mt_bench_rows("mine", talks, 1.0)]
    assert ids == [row["answer_id"] for row in mt_bench_rows("mine", talks, 2.0)]
    assert not {*ids} & {row["answer_id"] for row in mt_bench_rows("other", talks, 1.0)}


def test_arena_v01_rows_have_lengths_where_both_of_its_readers_look(tmp_path: Path) -> None:
    row = arena_v01_rows("mine", held(tmp_path, "arena-hard", ARENA_V01), 1.0, lambda _: 9)[0]
    assert row["question_id"] == "a1"
    assert row["choices"][0]["turns"] == [{"content": "0.0 #0: Sort a list.", "token_len": 9}]
    assert row["conv_metadata"]["token_len"] == 9


def test_arena_v2_rows_hold_the_messages(tmp_path: Path) -> None:
    talks = held(tmp_path, "arena-hard", ARENA_V2, system="Be brief.")
    row = arena_v2_rows("mine", talks, 1.0, lambda _: 9)[1]
    assert row["uid"] == "u2"
    assert row["model"] == "mine"
    assert row["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A poem on lists."},
        {"role": "assistant", "content": {"answer": "0.0 #0: A poem on lists."}},
    ]
    # The style control of Arena-Hard adds up every entry: there may be no other.
    assert list(row["metadata"]) == ["token_len", "header_count", "list_count", "bold_count"]


def test_markdown_is_counted_outside_of_code() -> None:
    text = (
        "# One\n## Two\n## Three\n####### none\n#none\n"
        "- a\n * b\n+ c\n1. d\n  22. e\n3) none\n"
        "**bold** __also__ **not\nover lines** ** x **\n"
        "```\n# in code\n- in code\n```\n"
    )
    assert markdown_counts(text) == {
        "header_count": {"h1": 1, "h2": 2, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
        "list_count": {"ordered": 2, "unordered": 3},
        "bold_count": {"**": 2, "__": 1},
    }


@pytest.mark.parametrize(
    ("form", "answers", "questions"),
    [
        ("alpaca-eval", "results/m/model_outputs.json", "None"),
        ("mt-bench", "data/mt_bench/model_answer/m.jsonl", "data/mt_bench/question.jsonl"),
        (
            "arena-hard-v0.1",
            "data/arena-hard-v0.1/model_answer/m.jsonl",
            "data/arena-hard-v0.1/question.jsonl",
        ),
    ],
)
def test_files_lie_where_the_tools_look(form: Any, answers: str, questions: str) -> None:
    assert str(answer_file(form, "m")) == answers
    assert str(question_file(form)) == questions


def test_lengths_in_the_models_own_tokens_leave_out_the_end() -> None:
    length = token_lengths("model", "arena-hard-v2.0")
    assert [length(Answer("a", True, 5)), length(Answer("a", False, 5))] == [4, 5]
    assert length(Answer("", True, 0)) == 0


def test_without_tiktoken_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", None)
    with pytest.raises(UsageError, match=r"tgdpo\[arena-hard\].*--token-count model"):
        token_lengths("tiktoken", "arena-hard-v2.0")


@pytest.mark.parametrize(
    ("form", "vocabulary"),
    [("arena-hard-v0.1", "cl100k_base"), ("arena-hard-v2.0", "o200k_base")],
)
def test_tiktoken_counts_the_text_that_is_written(
    form: Any, vocabulary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Encoding:
        def encode(self, text: str, disallowed_special: tuple[()]) -> list[str]:
            return text.split(" ")

    asked = []
    fake = type("tiktoken", (), {"get_encoding": lambda name: asked.append(name) or Encoding()})
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", fake)
    assert token_lengths("tiktoken", form)(Answer("  two words \n", True, 99)) == 2
    assert asked == [vocabulary]


def test_a_vocabulary_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_encoding(name: str) -> None:
        raise ConnectionError("no route")

    fake = type("tiktoken", (), {"get_encoding": get_encoding})
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", fake)
    with pytest.raises(UsageError, match=r"ConnectionError.*TIKTOKEN_CACHE_DIR.*--token-count"):
        token_lengths("tiktoken", "arena-hard-v0.1")


def test_the_config_of_alpaca_names_the_model_and_how_it_answered() -> None:
    text = alpaca_config("mine", path="runs/a", link="https://x.example", settings={"top_p": 1.0})
    assert yaml.safe_load(text) == {
        "mine": {
            "prompt_template": "mine/prompt.txt",
            "fn_completions": "huggingface_local_completions",
            "completions_kwargs": {"model_name": "runs/a", "top_p": 1.0},
            "pretty_name": "mine",
            "link": "https://x.example",
        }
    }


def test_the_config_of_answers_from_a_file_guesses_nothing() -> None:
    text = alpaca_config("mine", path="a.jsonl", link=None, settings=None)
    assert yaml.safe_load(text) == {"mine": {"pretty_name": "mine"}}
