"""A judge is asked once about what it has said a number of, whoever asks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest

from tgdpo_core import Comparison, Generation, Judge, Unjudged
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.opinions import AskedJudge
from tgdpo_core.evaluation.verdicts import NamedJudge


class Length(Judge):
    """Scores length; texts that begin with ? it leaves open."""

    def __init__(self, breaks_at: str = "") -> None:
        self.batches: list[list[str]] = []
        self._breaks_at = breaks_at

    def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        if self._breaks_at == batch[0].response:
            raise RuntimeError("gone")
        self.batches.append([item.response for item in batch])
        return [
            Unjudged("a question") if item.response[0] == "?" else float(len(item.response))
            for item in batch
        ]


class Says(Judge):
    """Returns what it was made with."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def score(self, batch: Sequence[Generation]) -> Any:
        return self.said


class First(Judge):
    """Of two answers says a number."""

    reads: ClassVar[Literal["comparisons"]] = "comparisons"

    def __init__(self, said: float) -> None:
        self.said = said

    def compare(self, batch: Sequence[Comparison]) -> list[float]:
        return [self.said for _ in batch]


def asked(judge: Judge, together: int = 64, **identity: Any) -> AskedJudge:
    named = NamedJudge("j", judge.reads)
    return AskedJudge(named, judge, {"judge": type(judge).__name__, **identity}, together)


def generations(*texts: str) -> list[Generation]:
    return [Generation("p", text) for text in texts]


def test_numbers_are_kept_and_not_asked_for_again() -> None:
    judge = Length()
    first = asked(judge).verdicts(generations("a", "bb"))
    second = asked(judge)
    assert (first, second.verdicts(generations("bb", "ccc"))) == ([1.0, 2.0], [2.0, 3.0])
    assert judge.batches == [["a", "bb"], ["ccc"]]
    assert (second.counts.asked, second.counts.kept) == (1, 1)


def test_a_judge_is_asked_about_as_many_at_once_as_is_said() -> None:
    judge = Length()
    asked(judge, together=2).verdicts(generations("a", "bb", "ccc"))
    assert judge.batches == [["a", "bb"], ["ccc"]]


def test_the_same_answer_twice_is_asked_about_once() -> None:
    judge = Length()
    assert asked(judge).verdicts(generations("a", "a")) == [1.0, 1.0]
    assert judge.batches == [["a"]]


def test_what_was_left_open_is_asked_again() -> None:
    judge = Length()
    for _ in range(2):
        assert asked(judge).verdicts(generations("?", "a")) == [Unjudged("a question"), 1.0]
    assert judge.batches == [["?", "a"], ["?"]]


def test_a_judge_with_other_options_is_another_one() -> None:
    judge = Length()
    asked(judge, scale=1).verdicts(generations("a"))
    asked(judge, scale=2).verdicts(generations("a"))
    assert judge.batches == [["a"], ["a"]]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "q"},
        {"response": "b"},
        {"columns": {"x": 2}},
        {"finished": False},
        {"num_tokens": 4},
    ],
)
def test_all_that_a_judge_may_read_tells_answers_apart(change: dict[str, Any]) -> None:
    judge = Length()
    item = Generation("p", "a", {"x": 1}, True, 3)
    asked(judge).verdicts([item, replace(item, **change)])
    assert len(judge.batches[0]) == 2


@pytest.mark.parametrize("said", [None, [1.0], [1.0, float("nan")], [1.0, "good"], 3.0])
def test_nonsense_of_a_judge_is_an_error_and_nothing_is_kept(said: Any) -> None:
    with pytest.raises(PluginError, match="judge 'j'"):
        asked(Says(said)).verdicts(generations("a", "b"))
    again = asked(Says([1.0, 2.0]))
    assert again.verdicts(generations("a", "b")) == [1.0, 2.0]
    assert again.counts.kept == 0


def test_batches_before_a_failure_are_kept() -> None:
    judge = Length(breaks_at="ccc")
    with pytest.raises(PluginError, match="gone"):
        asked(judge, together=2).verdicts(generations("a", "bb", "ccc"))
    asked(judge).verdicts(generations("a", "bb"))
    assert judge.batches == [["a", "bb"]]


def test_a_comparison_has_a_verdict_from_0_to_1() -> None:
    pair = [Comparison(*generations("a", "b"))]
    with pytest.raises(PluginError, match="from 0"):
        asked(First(2.0)).verdicts(pair)
    assert asked(First(0.5)).verdicts(pair) == [0.5]
