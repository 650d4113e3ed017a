"""Which answers become pairs."""

from collections import Counter

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.pairing.candidates import Candidate
from tgdpo_core.pairing.rules import (
    FEW,
    ONE_SIDED,
    SMALL_GAP,
    TIE,
    ChosenPair,
    Rule,
    choose_pairs,
    ranks,
)


def scored(*scores: float) -> list[Candidate]:
    return [Candidate(f"answer {i}", "m", score=score) for i, score in enumerate(scores)]


def texts(pairs: list[ChosenPair]) -> list[tuple[str, str]]:
    return [(pair.chosen.text[-1], pair.rejected.text[-1]) for pair in pairs]


def test_the_best_stands_against_the_worst() -> None:
    pairs, reason = choose_pairs(scored(0.2, 0.9, -0.5, 0.1), Rule(), "p")
    assert (texts(pairs), reason) == ([("1", "2")], None)


def test_of_equal_scores_the_first_drawn_is_taken() -> None:
    pairs, _ = choose_pairs(scored(0.9, 0.9, 0.1, 0.1), Rule(), "p")
    assert texts(pairs) == [("0", "2")]


@pytest.mark.parametrize(
    "rule", [Rule(), Rule("random-two"), Rule("margin", min_gap=0.1)], ids=lambda r: r.name
)
def test_equal_scores_are_a_tie(rule: Rule) -> None:
    assert choose_pairs(scored(0.5, 0.5, 0.5), rule, "p") == ([], TIE)


@pytest.mark.parametrize("scores", [(), (0.5,)])
def test_one_answer_is_no_pair(scores: tuple[float, ...]) -> None:
    assert choose_pairs(scored(*scores), Rule(), "p") == ([], FEW)


@pytest.mark.parametrize("name", ["best-worst", "random-two"])
def test_pairs_below_the_gap_are_left_out(name: str) -> None:
    rule = Rule(name, min_gap=0.5)  # type: ignore[arg-type]
    assert choose_pairs(scored(0.1, 0.4), rule, "p") == ([], SMALL_GAP)
    assert len(choose_pairs(scored(0.0, 0.5), rule, "p")[0]) == 1


def test_two_at_random_depend_on_the_prompt_and_the_seed_and_on_nothing_else() -> None:
    answers = scored(*(i / 10 for i in range(8)))
    rule = Rule("random-two", seed=3)
    assert choose_pairs(answers, rule, "p") == choose_pairs(answers, rule, "p")
    drawn = {texts(choose_pairs(answers, rule, f"p{i}")[0])[0] for i in range(40)}
    seeds = {texts(choose_pairs(answers, Rule("random-two", seed=i), "p")[0])[0] for i in range(40)}
    assert len(drawn) > 10
    assert len(seeds) > 10
    assert all(chosen > rejected for chosen, rejected in drawn)


def test_a_threshold_parts_good_from_bad() -> None:
    answers = scored(0.9, 0.5, 0.49, 0.1)
    rule = Rule("threshold", threshold=0.5)
    drawn = Counter(texts(choose_pairs(answers, rule, f"p{i}")[0])[0] for i in range(60))
    assert set(drawn) == {("0", "2"), ("0", "3"), ("1", "2"), ("1", "3")}
    assert choose_pairs(scored(0.9, 0.8), rule, "p") == ([], ONE_SIDED)
    assert choose_pairs(scored(0.1, 0.2), rule, "p") == ([], ONE_SIDED)


def test_a_margin_makes_every_pair_that_is_wide_enough_the_widest_first() -> None:
    answers = scored(0.0, 1.0, 0.4)
    assert texts(choose_pairs(answers, Rule("margin", min_gap=0.5), "p")[0]) == [
        ("1", "0"),
        ("1", "2"),
    ]
    rule = Rule("margin", min_gap=0.1, max_pairs=1)
    assert texts(choose_pairs(answers, rule, "p")[0]) == [("1", "0")]


def test_equal_scores_share_the_better_rank() -> None:
    assert list(ranks(scored(0.5, 0.9, 0.5, 0.1)).values()) == [2, 1, 2, 4]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_gap": -1.0}, "min-gap must be 0 or more"),
        ({"min_gap": float("nan")}, "min-gap must be 0 or more"),
        ({"threshold": 0.5}, "go together"),
        ({"name": "threshold"}, "go together"),
        ({"name": "threshold", "threshold": float("nan")}, "must be a finite number"),
        ({"name": "margin"}, "needs --min-gap"),
        ({"max_pairs": 3}, "makes one pair"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Rule(**settings)  # type: ignore[arg-type]
