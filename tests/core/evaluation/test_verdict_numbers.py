"""Numbers of verdicts: means, differences, win rates, strengths, agreement."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.bradley_terry import strengths
from tgdpo_core.evaluation.intervals import (
    Estimate,
    mean_interval,
    resampled_clusters,
    resampled_weights,
    share_interval,
)
from tgdpo_core.evaluation.verdict_numbers import VerdictSummary
from tgdpo_core.evaluation.verdict_sentences import verdict_sentences
from tgdpo_core.evaluation.verdict_summary import require_difficulties, summarize
from tgdpo_core.evaluation.verdict_tables import verdict_tables
from tgdpo_core.evaluation.verdicts import (
    ModelAnswer,
    NamedJudge,
    Opinion,
    Preference,
    PromptVerdict,
    Verdict,
)

UNKNOWN = Opinion(None, "no verdict")


def said(value: float | None) -> Opinion:
    return UNKNOWN if value is None else Opinion(value)


def scored(scores: dict[str, Sequence[float | None]]) -> Verdict:
    """A verdict of one judge of answers, `j`: the scores of each model by prompt."""
    number = len(next(iter(scores.values())))
    prompts = [
        PromptVerdict(
            f"prompt {i}",
            {m: (ModelAnswer("x", True, 2, scores={"j": said(s[i])}),) for m, s in scores.items()},
        )
        for i in range(number)
    ]
    return Verdict(list(scores), next(iter(scores)), [NamedJudge("j", "answers")], prompts)


def compared(
    models: Sequence[str], preferences: Sequence[Sequence[tuple[str, str, float | None, float]]]
) -> Verdict:
    """A verdict of one judge of comparisons, `c`: of each prompt (model, other, both orders)."""
    prompts = [
        PromptVerdict(
            f"prompt {i}",
            {model: (ModelAnswer(f"answer {len(model)}"),) for model in models},
            tuple(Preference("c", a, b, 0, said(x), said(y)) for a, b, x, y in some),
        )
        for i, some in enumerate(preferences)
    ]
    return Verdict(models, models[0], [NamedJudge("c", "comparisons")], prompts)


def summary(verdict: Verdict) -> VerdictSummary:
    return summarize(verdict, num_resamples=200)


# -- scores ---------------------------------------------------------------------------------------


def test_what_is_unjudged_is_left_out_counted_and_no_zero() -> None:
    found = summary(scored({"a": [1.0, 2.0, None, 3.0], "b": [None, 3.0, 5.0, 5.0]}))
    a, b = found.scores
    assert (a.mean.value, a.num_prompts, a.unjudged) == (2.0, 3, {"no verdict": 1})
    assert b.mean.value == pytest.approx(13 / 3)
    assert b.difference.value == 1.5  # of the two prompts that both have
    assert (a.higher.value, b.higher.value) == (None, 1.0)
    assert any("1 answers unjudged" in each for each in verdict_sentences(found))


def test_the_share_of_higher_scores_counts_equal_ones_half() -> None:
    found = summary(scored({"a": [1.0, 2.0, 3.0, 4.0], "b": [9.0, 2.0, 3.0, 3.9]}))
    assert found.scores[1].higher.value == (1 + 0.5 + 0.5 + 0) / 4
    (table,) = verdict_tables(found)
    assert table.rows[1][table.columns.index("higher")].startswith("50.0 % [")


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    weights = resampled_weights(60, 2000, seed=0)
    found = [mean_interval(rng.normal(size=60), weights) for _ in range(300)]
    assert 0.90 < np.mean([e.low <= 0 <= e.high for e in found]) < 0.985  # type: ignore[operator]


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.8315, 1.0), (0.0, 0.0, 0.1685)])
def test_a_share_of_all_or_none_has_the_exact_interval(
    value: float, low: float, high: float
) -> None:
    found = share_interval(np.full(20, value), resampled_weights(20, 100, seed=0))
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


def test_turns_of_a_question_are_resampled_together() -> None:
    """A score of both turns knows no more than one of the question."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=30).tolist()
    questions = scored({"a": values})
    twice = scored({"a": [v for v in values for _ in range(2)]})
    turns = [replace(p, cluster=f"question {i // 2}") for i, p in enumerate(twice.prompts)]
    one, both = (summarize(v).scores[0].mean for v in (questions, replace(twice, prompts=turns)))
    apart = summarize(twice).scores[0].mean
    assert both.value == pytest.approx(one.value)
    widths = [float(e.high - e.low) for e in (one, both, apart)]  # type: ignore[operator]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert widths[2] < 0.8 * widths[0]


def test_a_share_of_all_counts_questions_not_turns() -> None:
    weights = resampled_clusters(np.repeat(np.arange(6), 2), 500, seed=0)
    found = share_interval(np.ones(12), weights)
    assert found.low == pytest.approx(0.541, abs=1e-3)  # of six, not of twelve


def test_one_question_has_no_interval() -> None:
    verdict = scored({"a": [1.0, 2.0], "b": [2.0, 4.0]})
    prompts = [replace(prompt, cluster="the one") for prompt in verdict.prompts]
    found = summarize(replace(verdict, prompts=prompts))
    assert found.scores[1].difference == Estimate(1.5)
    pairs = [("b", "a", 1.0, 0.0), ("c", "a", 1.0, 0.0), ("c", "b", 1.0, 0.0)]
    placed = summarize(compared(["a", "b", "c"], [pairs])).strengths
    assert placed[1].strength == Estimate(0.0)


def test_the_order_of_draws_makes_no_winner() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in their last digit."""

    def draws(*values: float) -> tuple[ModelAnswer, ...]:
        return tuple(ModelAnswer("x", scores={"j": said(value)}) for value in values)

    answers = {"a": draws(0.1, 0.2, 0.3), "b": draws(0.3, 0.2, 0.1)}
    prompts = [PromptVerdict(f"prompt {i}", answers) for i in range(4)]
    found = summary(Verdict(["a", "b"], "a", [NamedJudge("j", "answers")], prompts))
    assert found.scores[1].higher.value == 0.5


# -- comparisons ----------------------------------------------------------------------------------


def test_both_orders_make_one_win_a_tie_or_a_loss() -> None:
    orders = [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]
    found = summary(compared(["base", "m"], [[("m", "base", *both)] for both in orders]))
    (rate,) = found.win_rates
    assert (rate.rate.value, rate.wins, rate.ties, rate.losses) == (0.625, 2, 1, 1)
    (position,) = found.positions
    assert position.bias.changed.value == 0.25


def test_a_comparison_without_a_verdict_in_one_order_counts_nowhere() -> None:
    found = summary(
        compared(["base", "m"], [[("m", "base", 1.0, 1.0)], [("m", "base", None, 0.0)]])
    )
    (rate,) = found.win_rates
    assert (rate.rate.value, rate.num_prompts, rate.unjudged) == (1.0, 1, {"no verdict": 1})


def test_the_order_of_models_changes_no_number() -> None:
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    pairs = [("b", "a"), ("c", "a"), ("c", "b")]
    rows = [[(m, o, *map(float, rng.integers(0, 2, 2))) for m, o in pairs] for _ in range(40)]
    first = summary(compared(names, rows))
    other = compared(["a", "c", "b"], rows)
    second = summary(other)
    rates = [{(r.model, r.other): r.rate for r in s.win_rates} for s in (first, second)]
    assert rates[0]["c", "a"] == rates[1]["c", "a"]
    assert rates[0]["c", "b"].value == 1 - rates[1]["b", "c"].value  # type: ignore[operator]
    places = [{s.model: s.strength.value for s in each.strengths} for each in (first, second)]
    assert places[0] == pytest.approx(places[1], abs=1e-6)


# -- strengths ------------------------------------------------------------------------------------


def test_the_order_of_prompts_changes_no_number() -> None:
    rng = np.random.default_rng(3)
    verdict = compared(
        ["base", "m"],
        [[("m", "base", float(rng.random()), float(rng.random()))] for _ in range(40)],
    )
    prompts = [
        replace(prompt, answers={**prompt.answers, "m": (ModelAnswer("x" * int(length)),)})
        for prompt, length in zip(verdict.prompts, rng.integers(1, 40, 40), strict=True)
    ]
    found = summary(replace(verdict, prompts=prompts))
    assert found.win_rates[0].length_controlled is not None
    assert found == summary(replace(verdict, prompts=prompts[::-1]))


def test_what_nobody_was_asked_says_nothing_of_a_judge() -> None:
    """Five comparisons of equal answers are ties of nobody; in the others the first place wins."""
    tie = Opinion(0.5, was_asked=False)
    known = compared(["base", "m"], [[("m", "base", 0.5, 0.5)]] * 5)
    known = replace(
        known,
        prompts=[
            replace(
                p,
                prompt=f"equal {i}",
                preferences=[Preference("c", "m", "base", 0, tie, tie)],
            )
            for i, p in enumerate(known.prompts)
        ],
    )
    asked = compared(["base", "m"], [[("m", "base", 1.0, 0.0)]] * 5)
    found = summary(replace(asked, prompts=[*asked.prompts, *known.prompts]))
    (position,) = found.positions
    assert (position.bias.num_judged, position.bias.first_place.value) == (5, 1.0)
    assert position.bias.changed.value == 1.0
    assert (found.win_rates[0].num_prompts, found.win_rates[0].rate.value) == (10, 0.5)


def test_judges_agree_on_what_both_were_asked_about() -> None:
    verdict = compared(["base", "m"], [[("m", "base", 1.0, 1.0)]] * 3)
    tie = Opinion(0.5, was_asked=False)
    twice = [
        replace(
            p, preferences=[*p.preferences, replace(p.preferences[0], judge="d")][: 2 - (i == 2)]
        )
        for i, p in enumerate(verdict.prompts)
    ]
    twice[2] = replace(
        twice[2],
        preferences=[Preference(judge, "m", "base", 0, tie, tie) for judge in ("c", "d")],
    )
    judges = [NamedJudge("c", "comparisons"), NamedJudge("d", "comparisons")]
    (found,) = summary(replace(verdict, prompts=twice, judges=judges)).agreements
    assert (found.num_pairs, found.share.value) == (2, 1.0)


def test_a_win_rate_of_all_has_no_interval_when_length_is_controlled() -> None:
    found = summary(compared(["base", "longer"], [[("longer", "base", 1.0, 1.0)]] * 6))
    controlled = found.win_rates[0].length_controlled
    assert controlled is not None
    assert (controlled.win_rate.low, controlled.win_rate.high) == (None, None)


def test_a_baseline_that_was_never_judged_did_not_win() -> None:
    models = ["base", "x", "y"]
    some = [("x", "base", None, None), ("y", "base", None, None)]
    found = summary(
        compared(models, [[*some, ("y", "x", 1.0, 1.0)], [*some, ("y", "x", 0.0, 0.0)]])
    )
    assert {s.note for s in found.strengths[1:]} == {"the baseline was compared with none"}


def test_difficulties_are_of_all_prompts_or_of_none() -> None:
    verdict = compared(["base", "m"], [[("m", "base", float(i % 2), 0.5)] for i in range(8)])
    prompts = [
        replace(prompt, columns={"instruction_difficulty": i} if i else {})
        for i, prompt in enumerate(verdict.prompts)
    ]
    with pytest.raises(UsageError, match=r"1 of 8 have no such column.*'prompt 0'"):
        require_difficulties(prompts)
    require_difficulties(prompts[1:])
    tables = verdict_tables(summary(replace(verdict, prompts=prompts)))
    assert "length alone: 7 of 8 prompts have an instruction_difficulty" in tables[0].caption


def test_strengths_are_recovered() -> None:
    truth = np.array([0.0, 0.7, -0.4, 1.5])
    wins = 1000 / (1 + np.exp(truth[None] - truth[:, None]))
    np.fill_diagonal(wins, 0)
    found = strengths(wins)
    np.testing.assert_allclose(found - found[0], truth, atol=1e-6)


@pytest.mark.parametrize(
    ("wins", "expected"),
    [
        ([[0, 3, 1], [2, 0, 1], [0, 0, 0]], [math.log(1.5) / 2, -math.log(1.5) / 2, -math.inf]),
        ([[0, 3, 0], [2, 0, 0], [4, 0, 0]], [math.log(1.5) / 2, -math.log(1.5) / 2, math.inf]),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], [0, 0, math.nan]),
        ([[0, 1], [0, 0]], [0, -math.inf]),
    ],
)
def test_who_won_or_lost_everything_has_no_finite_strength(
    wins: list[list[float]], expected: list[float]
) -> None:
    np.testing.assert_allclose(strengths(np.array(wins, dtype=float)), expected, atol=1e-6)


def test_who_lost_everything_is_said_and_the_others_are_placed() -> None:
    rows: list[list[tuple[str, str, float | None, float]]] = [
        [
            ("m", "base", *(2 * [float(i % 3 > 0)])),
            ("bad", "base", 0.0, 0.0),
            ("bad", "m", 0.0, 0.0),
        ]
        for i in range(30)
    ]
    found = summary(compared(["base", "m", "bad"], rows))
    places = {each.model: each for each in found.strengths}
    assert places["m"].strength.value == pytest.approx(math.log(2), abs=1e-4)
    assert (places["bad"].strength.value, places["bad"].note) == (None, "lost every comparison")
    assert any("lost every comparison" in row for row in verdict_tables(found)[0].rows[2])


# -- agreement ------------------------------------------------------------------------------------


def agreeing(first: Sequence[float], second: Sequence[float]) -> VerdictSummary:
    prompts = [
        PromptVerdict(
            f"prompt {i}",
            {m: (ModelAnswer("x"),) for m in ("a", "b")},
            tuple(Preference(j, "b", "a", 0, said(v), said(v)) for j, v in (("c", x), ("d", y))),
        )
        for i, (x, y) in enumerate(zip(first, second, strict=True))
    ]
    judges = [NamedJudge(name, "comparisons") for name in ("c", "d")]
    return summary(Verdict(["a", "b"], "a", judges, prompts))


def test_kappa_is_cohens() -> None:
    # Both say better 20 times, worse 15 times; they differ 5 and 10 times: a textbook table.
    first = [1.0] * 25 + [0.0] * 25
    second = [1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15
    (found,) = agreeing(first, second).agreements
    assert found.share.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high  # type: ignore[operator]
    assert found.table == ((20, 0, 5), (0, 0, 0), (10, 0, 15))


def test_judges_that_always_say_the_same_have_no_kappa() -> None:
    found = agreeing([1.0] * 5, [1.0] * 5)
    assert found.agreements[0].kappa.value is None
    assert any("not defined" in each for each in verdict_sentences(found))


# -- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: scored({"a": [1.0, 0.0]}),
        lambda: scored({"a": [None, None], "b": [1.0, 0.0]}),
        lambda: compared(["base", "m"], [[("m", "base", 1.0, 0.0)]]),
    ],
    ids=["one model", "nothing judged", "one prompt"],
)
def test_every_row_of_a_table_has_a_cell_a_column(make: Callable[[], Verdict]) -> None:
    for table in verdict_tables(summary(make())):
        assert {len(row) for row in table.rows} == {len(table.columns)}
