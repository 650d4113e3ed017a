"""Questions of the three benchmarks, and rows that are none."""

import json
from pathlib import Path

import pytest

from tests.core.exchange.questions_of_tests import ALPACA, ARENA_V01, ARENA_V2, MT_BENCH, lines
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.questions import read_questions


def test_mt_bench_questions_have_their_turns_and_category(tmp_path: Path) -> None:
    found = read_questions(lines(tmp_path / "q.jsonl", MT_BENCH), "mt-bench")
    assert found.form == "mt-bench"
    assert [q.id for q in found.questions] == [82, 81, 150, 7]
    assert found.questions[0].turns == ("Write a line.", "Now shorter.")
    assert found.questions[0].category == "writing"


def test_alpaca_questions_may_be_one_array_and_have_reference_outputs(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    path.write_text(json.dumps(ALPACA))
    assert [q.turns for q in read_questions(path, "alpaca-eval").questions] == [
        ("Name a colour.",),
        ("Name a tree.",),
    ]


@pytest.mark.parametrize(
    ("rows", "form", "ids"),
    [(ARENA_V01, "arena-hard-v0.1", ["a1", "a2"]), (ARENA_V2, "arena-hard-v2.0", ["u1", "u2"])],
)
def test_the_version_of_arena_hard_is_seen_from_its_rows(
    rows: list[dict[str, object]], form: str, ids: list[str], tmp_path: Path
) -> None:
    found = read_questions(lines(tmp_path / "q.jsonl", rows), "arena-hard")
    assert found.form == form
    assert [q.id for q in found.questions] == ids


def test_the_first_questions_can_be_asked_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "q.jsonl", MT_BENCH)
    assert len(read_questions(path, "mt-bench", limit=2).questions) == 2


def test_an_instruction_that_stands_twice_is_counted(tmp_path: Path) -> None:
    path = lines(tmp_path / "q.jsonl", [*ALPACA, ALPACA[0]])
    assert read_questions(path, "alpaca-eval").num_repeated == 1


@pytest.mark.parametrize(
    ("benchmark", "rows", "said"),
    [
        ("mt-bench", [{"question_id": 1, "category": "math", "turns": []}], "q.jsonl:1: 'turns'"),
        ("mt-bench", [{"question_id": 1, "category": "math", "turns": ["a", " "]}], "'turns'"),
        ("mt-bench", [{"question_id": 1, "turns": ["a"]}], "'category'"),
        ("mt-bench", [MT_BENCH[0], {"instruction": "a"}], "1 of 2 rows are no questions"),
        ("mt-bench", [MT_BENCH[0], MT_BENCH[0]], "82 stands twice"),
        ("alpaca-eval", [{"instruction": "a", "input": "b"}], "join them"),
        ("arena-hard", [{**ARENA_V01[0], "category": ["x"]}], "'category'"),
        ("alpaca-eval", [{"question": "a"}], "'instruction' must be a text, found None"),
        ("arena-hard", [{"question_id": 1, "turns": ["a"]}], "list of {content}"),
        ("arena-hard", [ARENA_V2[0], ARENA_V01[0]], "q.jsonl:2: 'uid'"),
        ("arena-hard", [{"uid": True, "category": "x", "prompt": "a"}], "'uid'"),
    ],
)
def test_rows_of_another_form_are_named(
    benchmark: str, rows: list[dict[str, object]], said: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "q.jsonl", rows)
    with pytest.raises(DataError, match=said):
        read_questions(path, benchmark)  # type: ignore[arg-type]


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("")
    with pytest.raises(DataError, match="no questions"):
        read_questions(path, "mt-bench")
