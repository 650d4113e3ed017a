"""The tools' own numbers, computed by hand."""

from math import log

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tgdpo_core.exchange.headlines import (
    alpaca_eval_headlines,
    arena_v01_scores,
    arena_v2_scores,
    mt_bench_grades,
    mt_bench_pairs,
)
from tgdpo_core.exchange.judgements import Compared, Graded


def of(question: int, **values: object) -> Compared:
    return Compared(question, "judge", "mine", other="base", **values)  # type: ignore[arg-type]


def test_win_rates_of_alpaca_count_a_tie_as_half() -> None:
    preferences = [1.0, 2.0, 1.5, 1.75]
    compared = [of(i, either_first=p - 1) for i, p in enumerate(preferences)]
    (found,) = alpaca_eval_headlines(compared)
    assert found.values["win_rate"] == pytest.approx(100 * (0 + 1 + 0.5 + 0.75) / 4)
    assert found.values["standard_error"] == pytest.approx(
        100 * np.std([0, 1, 0.5, 0.75], ddof=1) / 2
    )
    assert found.values["discrete_win_rate"] == pytest.approx(100 * (2 + 0.5) / 4)
    assert [found.values[f"n_{k}"] for k in ("wins", "wins_base", "draws", "total")] == [2, 1, 1, 4]


def test_the_length_controlled_win_rate_is_what_alpaca_eval_wrote() -> None:
    (found,) = alpaca_eval_headlines(
        [of(i, either_first=1.0, controlled=c) for i, c in enumerate((0.25, 0.75, 0.8))]
    )
    assert found.values["length_controlled_winrate"] == pytest.approx(60.0)
    (partly,) = alpaca_eval_headlines(
        [of(1, either_first=1.0, controlled=0.5), of(2, either_first=1.0)]
    )
    assert "length_controlled_winrate" not in partly.values
    assert partly.values["n_glm_preference"] == 1  # of two


def test_models_and_judges_of_one_file_are_told_apart() -> None:
    other = Compared(1, "judge", "yours", other="base", either_first=1.0)
    second = Compared(1, "judge 2", "mine", other="base", either_first=1.0)
    found = alpaca_eval_headlines([of(1, either_first=0.0), other, second])
    assert [(each.model, each.values["win_rate"]) for each in found] == [
        ("mine", 0.0),
        ("yours", 100.0),
        ("mine", 100.0),
    ]


def test_mt_bench_averages_judgements_not_turns() -> None:
    graded = [
        Graded(81, "gpt-4", "mine", 1, "writing", 9.0),
        Graded(82, "gpt-4", "mine", 1, "writing", 6.0),
        Graded(111, "gpt-4", "mine", 1, "math", 3.0),
        Graded(81, "gpt-4", "mine", 2, "writing", 8.0),
    ]
    whole, maths, writing = mt_bench_grades(graded)
    assert whole.values == {
        "first turn": 6.0,
        "second turn": 8.0,
        "average": 6.5,
        "judgements": 4,
    }
    assert maths.values == {"first turn": 3.0, "average": 3.0, "judgements": 1}
    assert writing.values["average"] == pytest.approx(23 / 3)
    assert maths.group == "gpt-4, math"


def test_mt_bench_pairs_need_both_orders_to_agree() -> None:
    compared = [
        of(1, model_first=1.0, other_first=1.0),  # win
        of(2, model_first=1.0, other_first=0.0),  # differ: tie
        of(3, model_first=0.5, other_first=1.0),  # tie first: tie
        of(4, model_first=0.0, other_first=0.0),  # loss
        of(5, model_first=1.0, other_first=None),  # error: left out
        of(6, model_first=1.0, other_first=1.0),
    ]
    base, mine = mt_bench_pairs(compared)
    assert (mine.values["win"], mine.values["loss"], mine.values["tie"]) == (2, 1, 2)
    assert mine.values["win_rate"] == pytest.approx(0.4)
    assert mine.values["win_rate_adjusted"] == pytest.approx(0.6)
    assert base.values["win_rate_adjusted"] == pytest.approx(0.4)


def test_mt_bench_pairs_with_a_baseline_leave_other_opponents_out() -> None:
    third = Compared(1, "judge", "mine", other="third", model_first=0.0, other_first=0.0)
    found = mt_bench_pairs([of(1, model_first=1.0, other_first=1.0), third], baseline="base")
    assert [(each.model, each.values["win_rate"]) for each in found] == [("mine", 1.0)]


STRONG = {"other_first": 3, "model_first": 3}
ARENA = [
    of(1, other_first=1.0, model_first=1.0, weights={"other_first": 3}),
    of(2, other_first=0.5, model_first=0.0),
    of(3, other_first=None, model_first=1.0),
]


def test_the_score_of_arena_v01_weighs_strong_verdicts_three_times() -> None:
    (found,) = arena_v01_scores(ARENA)
    assert found.values["score"] == pytest.approx(100 * (3 + 1 + 0.5 + 0 + 1) / 7)
    assert (found.values["verdicts"], found.values["battles"]) == (5, 7)


def test_the_score_of_arena_v01_is_that_of_its_bradley_terry_fit() -> None:
    """One model against a baseline: the greatest likelihood, sought by a search over ratings."""
    wins, losses = 3 + 1 + 0.5 + 1, 0.5 + 1

    def cost(difference: float) -> float:
        win = 1 / (1 + 10 ** (-difference / 400))
        return -(wins * log(win) + losses * log(1 - win))

    best = minimize_scalar(cost, bounds=(-2000, 2000), method="bounded", options={"xatol": 1e-9}).x
    (found,) = arena_v01_scores(ARENA)
    assert found.values["score"] == pytest.approx(100 / (1 + 10 ** (-best / 400)), abs=1e-6)


def test_arena_v2_leaves_out_questions_without_both_verdicts() -> None:
    (found,) = arena_v2_scores(ARENA)
    assert found.values["score"] == pytest.approx(100 * (3 + 1 + 0.5 + 0) / 6)


def test_arena_v2_is_by_category() -> None:
    compared = [
        Compared(1, "j", "mine", None, "hard_prompt", "o3", 1.0, 1.0),
        Compared(2, "j", "mine", None, "creative_writing", "gemini", 0.0, 0.0),
    ]
    assert [(e.group, e.values["score"]) for e in arena_v2_scores(compared)] == [
        ("against o3 by j, hard_prompt", 100.0),
        ("against gemini by j, creative_writing", 0.0),
    ]
