"""Judgement files of the three tools, row by row; what says nothing is counted and named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.exchange.questions_of_tests import lines
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.judgement_forms import alpaca_eval, arena_hard, mt_bench
from tgdpo_core.exchange.judgements import Compared, Graded, Parser, read_judgements

ALPACA: dict[str, Any] = {
    "instruction": "Name a tree.",
    "output_1": "Oak.",
    "output_2": "Elm.",
    "generator_1": "base",
    "generator_2": "mine",
    "dataset": "own",
    "annotator": "weighted",
    "preference": 1.25,
}
SINGLE: dict[str, Any] = {
    "question_id": 81,
    "model": "mine",
    "judge": ["gpt-4", "single-v1"],
    "user_prompt": "...",
    "judgment": "[[7]]",
    "score": 7,
    "turn": 1,
    "tstamp": 1.0,
}
PAIR: dict[str, Any] = {
    "question_id": 81,
    "model_1": "mine",
    "model_2": "base",
    "g1_winner": "model_1",
    "g2_winner": "tie",
    "judge": ["gpt-4", "pair-v2"],
    "turn": 2,
}
V01: dict[str, Any] = {
    "question_id": "q",
    "model": "mine",
    "judge": "gpt",
    "games": [{"score": "A>>B", "judgment": ""}, {"score": "A=B", "judgment": ""}],
}
V2: dict[str, Any] = {
    "uid": "u",
    "category": "hard_prompt",
    "model": "mine",
    "baseline": "o3",
    "judge": "gpt",
    "games": [{"score": "B>A"}, {"score": "B>>A"}],
}


def one(parse: Parser, row: dict[str, Any]) -> Any:
    return parse(row, lambda kind: None)


@pytest.mark.parametrize(
    ("preference", "value"),
    [(1, 0.0), (2, 1.0), (1.5, 0.5), (0, 0.5), (1.25, 0.25), (1.9999, 0.9999), ("2", 1.0)],
)
def test_alpaca_preferences_of_both_forms(preference: Any, value: float) -> None:
    found = one(alpaca_eval, {**ALPACA, "preference": preference})
    assert found.either_first == pytest.approx(value)
    assert (found.model, found.other, found.judge) == ("mine", "base", "weighted")
    assert found.texts == {"mine": "Elm.", "base": "Oak."}


def test_grades_have_turn_and_judge() -> None:
    assert one(mt_bench, SINGLE) == Graded(81, "gpt-4", "mine", 1, None, 7.0)


def test_both_orders_of_a_pair_are_kept_apart() -> None:
    assert one(mt_bench, PAIR) == Compared(
        81, "gpt-4", "mine", 2, other="base", model_first=1.0, other_first=0.5
    )
    swapped = {**PAIR, "g1_winner": "model_2", "g2_winner": "model_2"}
    assert one(mt_bench, swapped).model_first == one(mt_bench, swapped).other_first == 0.0


@pytest.mark.parametrize(
    ("labels", "values", "weights"),
    [
        (("A>>B", "A=B"), (0.0, 0.5), {"other_first": 3}),
        (("A>B", "A>B"), (0.0, 1.0), {}),
        (("B>>A", "B>>A"), (1.0, 0.0), {"other_first": 3, "model_first": 3}),
        (("B>A", "A>>B"), (1.0, 1.0), {"model_first": 3}),
        (("A<<B", "B<<A"), (1.0, 1.0), {"other_first": 3, "model_first": 3}),
    ],
)
def test_arena_labels_are_about_the_model_in_both_orders(
    labels: tuple[str, str], values: tuple[float, float], weights: dict[str, int]
) -> None:
    found = one(arena_hard("base"), {**V01, "games": [{"score": label} for label in labels]})
    assert (found.other_first, found.model_first) == values
    assert found.weights == weights
    assert found.other == "base"


def test_the_baseline_that_a_row_names_is_used() -> None:
    assert one(arena_hard("base"), V2).other == "o3"
    assert one(arena_hard("base"), V2).category == "hard_prompt"


@pytest.mark.parametrize(
    ("parse", "good", "bad", "kind"),
    [
        (alpaca_eval, ALPACA, {"preference": None}, "no verdict"),
        (alpaca_eval, ALPACA, {"preference": float("nan")}, "no verdict"),
        (alpaca_eval, ALPACA, {"preference": 3}, "preference"),
        (alpaca_eval, ALPACA, {"preference": "both"}, "no preference"),
        (alpaca_eval, ALPACA, {"preference": True}, "no preference"),
        (alpaca_eval, ALPACA, {"generator_2": None}, "no generator_2"),
        (mt_bench, SINGLE, {"score": -1}, "no verdict"),
        (mt_bench, SINGLE, {"score": None}, "no score"),
        (mt_bench, SINGLE, {"turn": 3}, "turn"),
        (mt_bench, SINGLE, {"judge": None}, "judge"),
        (mt_bench, PAIR, {"g1_winner": "error", "g2_winner": "error"}, "no verdict"),
        (mt_bench, PAIR, {"g1_winner": "model_3"}, "winner"),
        (arena_hard("b"), V2, {"games": [{"score": None}, None]}, "no verdict"),
        (arena_hard("b"), V2, {"games": []}, "games"),
        (arena_hard("b"), V2, {"games": [{"score": "A?B"}, {"score": ["A=B"]}]}, "score"),
        (arena_hard("b"), V2, {"games": [None, "A>B"]}, "score"),
        (arena_hard("b"), V2, {"baseline": None}, "no baseline"),
        (arena_hard("b"), V01, {"baseline": ["o3"]}, "no baseline"),
        (mt_bench, SINGLE, {"turn": None}, "turn"),
        (mt_bench, SINGLE, {"turn": True}, "turn"),
        (mt_bench, SINGLE, {"score": 10**400}, "no score"),
        (mt_bench, SINGLE, {"judge": ["", "single-v1"]}, "judge"),
        (mt_bench, PAIR, {"g1_winner": ["model_1"]}, "winner"),
        (mt_bench, PAIR, {"g2_winner": {"model_1": 1}}, "winner"),
        (alpaca_eval, ALPACA, {"preference": 10**400}, "no preference"),
        (alpaca_eval, ALPACA, {"annotator": ["a", "b"]}, "no annotator"),
    ],
)
def test_rows_without_a_verdict_are_counted_by_kind(
    parse: Parser, good: dict[str, Any], bad: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "j.jsonl", [good, {**good, **bad}, good])
    found = read_judgements([path], parse)
    assert len(found.compared) + len(found.graded) == 2
    assert (found.report.num_rows, found.report.num_pairs) == (3, 2)
    assert found.report.counts == {kind: 1}
    assert "j.jsonl:2" in found.report.problems[0]


@pytest.mark.parametrize(
    ("parse", "row"),
    [
        (mt_bench, {**PAIR, "g1_winner": "error"}),
        (arena_hard("b"), {**V2, "games": [None, {"score": "A=B"}]}),
        (arena_hard("b"), {**V01, "games": [{"score": None}, {"score": "A=B"}]}),
    ],
)
def test_half_a_judgement_is_kept_and_said(
    parse: Parser, row: dict[str, Any], tmp_path: Path
) -> None:
    found = read_judgements([lines(tmp_path / "j.jsonl", [row])], parse)
    assert found.report.counts == {"no verdict in one order": 1}
    assert [value for value, _ in found.compared[0].verdicts] == [0.5]


@pytest.mark.parametrize("label", ["A>C", ["A>B"], {"a": 1}, 1])
def test_an_unreadable_label_costs_its_own_game_alone(label: Any, tmp_path: Path) -> None:
    row = {**V01, "games": [{"score": label}, {"score": "A=B"}]}
    found = read_judgements([lines(tmp_path / "j.jsonl", [row])], arena_hard("b"))
    assert found.report.counts == {"unreadable score in one order": 1}
    assert [value for value, _ in found.compared[0].verdicts] == [0.5]


def test_a_row_without_a_turn_is_not_taken_for_the_first(tmp_path: Path) -> None:
    row = {name: value for name, value in SINGLE.items() if name != "turn"}
    found = read_judgements([lines(tmp_path / "j.jsonl", [SINGLE, row])], mt_bench)
    assert found.report.counts == {"turn": 1}


def test_a_pair_without_its_first_winner_is_named_as_one(tmp_path: Path) -> None:
    row = {name: value for name, value in PAIR.items() if name != "g1_winner"}
    found = read_judgements([lines(tmp_path / "j.jsonl", [PAIR, row])], mt_bench)
    assert found.report.counts == {"winner": 1}


@pytest.mark.parametrize(("score", "noted"), [(15, 1), (0, 1), (-3, 1), (1, 0), (10, 0)])
def test_scores_outside_the_scale_are_counted_and_said(
    score: int, noted: int, tmp_path: Path
) -> None:
    found = read_judgements([lines(tmp_path / "j.jsonl", [{**SINGLE, "score": score}])], mt_bench)
    assert [each.score for each in found.graded] == [score]
    assert found.report.counts["score outside 1 to 10, counted"] == noted


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"output_2": 7}, "an answer that is no text"),
        ({"output_1": None}, "an answer that is no text"),
        ({"glm_preference": "0.5"}, "glm_preference that is no share"),
        ({"glm_preference": True}, "glm_preference that is no share"),
        ({"generator_2": "base"}, "a model compared with itself"),
    ],
)
def test_what_a_read_row_lacks_is_said(change: dict[str, Any], kind: str, tmp_path: Path) -> None:
    found = read_judgements([lines(tmp_path / "j.jsonl", [{**ALPACA, **change}])], alpaca_eval)
    assert (len(found.compared), found.report.counts) == (1, {kind: 1})


def test_a_file_that_says_nothing_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([{"a": 1}, {"a": 2}]))
    with pytest.raises(DataError, match="not one judgement"):
        read_judgements([path], alpaca_eval)
