"""Scores from comparisons in both orders."""

from collections.abc import Callable

from tgdpo_core.pairing.round_robin import comparisons, won_shares
from tgdpo_core.plugin_api.judges import Comparison, Generation, Unjudged, Verdict

ANSWERS = [Generation("p", text) for text in ("aaa", "a", "aa")]


def said(judge: Callable[[Comparison], Verdict]) -> list[Verdict]:
    asked = comparisons(ANSWERS)
    assert len(asked) == 6
    return won_shares(3, [judge(each) for each in asked])


def test_the_share_of_comparisons_won_ranks_the_answers() -> None:
    longer = said(lambda c: float(len(c.first.response) > len(c.second.response)))
    assert longer == [1.0, 0.0, 0.5]


def test_a_judge_that_always_says_the_first_one_ranks_nobody() -> None:
    assert said(lambda c: 1.0) == [0.5, 0.5, 0.5]


def test_an_answer_without_any_verdict_is_unjudged_and_not_last() -> None:
    def judge(comparison: Comparison) -> Verdict:
        if "a" in (comparison.first.response, comparison.second.response):
            return Unjudged("no verdict")
        return float(len(comparison.first.response) > len(comparison.second.response))

    assert said(judge) == [1.0, Unjudged("no verdict"), 0.0]


def test_one_answer_has_nothing_to_be_compared_with() -> None:
    assert won_shares(1, []) == [Unjudged("nothing to compare")]
    assert won_shares(0, []) == []
