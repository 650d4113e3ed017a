"""What a judge said is kept, checked and asked for once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from tgdpo_core.errors import PluginError, StoreError
from tgdpo_core.pairing.verdicts import KeptVerdicts, asked_key, verdicts
from tgdpo_core.plugin_api.judges import Comparison, Generation, Judge, Unjudged, Verdict


class Length(Judge):
    """Scores length; texts that begin with ? it leaves open."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, batch: Sequence[Generation]) -> list[Verdict]:
        self.asked += [item.response for item in batch]
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

    def compare(self, batch: Sequence[Comparison]) -> list[Verdict]:
        return [self.said for _ in batch]


def generations(*texts: str) -> list[Generation]:
    return [Generation("p", text) for text in texts]


def test_scores_are_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    judge = Length()
    path = tmp_path / "scores.jsonl"
    first = verdicts(("j", judge), generations("a", "bb"), KeptVerdicts(path), together=1)
    again = verdicts(("j", judge), generations("bb", "ccc"), KeptVerdicts(path), together=9)
    assert (first, again) == ([1.0, 2.0], [2.0, 3.0])
    assert judge.asked == ["a", "bb", "ccc"]


def test_the_same_answer_twice_is_asked_about_once(tmp_path: Path) -> None:
    judge = Length()
    kept = KeptVerdicts(tmp_path / "s")
    assert verdicts(("j", judge), generations("a", "a"), kept, together=9) == [1.0, 1.0]
    assert judge.asked == ["a"]


def test_what_was_left_open_is_asked_again(tmp_path: Path) -> None:
    judge = Length()
    for _ in range(2):
        kept = KeptVerdicts(tmp_path / "s")
        found = verdicts(("j", judge), generations("?", "a"), kept, together=9)
        assert found == [Unjudged("a question"), 1.0]
    assert judge.asked == ["?", "a", "?"]


def test_all_that_a_judge_may_read_tells_answers_apart() -> None:
    base = Generation("p", "a", {"x": 1}, True, 3)
    others = [
        Generation("q", "a", {"x": 1}, True, 3),
        Generation("p", "b", {"x": 1}, True, 3),
        Generation("p", "a", {"x": 2}, True, 3),
        Generation("p", "a", {"x": 1}, False, 3),
        Generation("p", "a", {"x": 1}, True, 4),
    ]
    assert len({asked_key(item) for item in (base, *others)}) == 6


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "s"
    judge = Length()
    verdicts(("j", judge), generations("a", "bb"), KeptVerdicts(path), together=9)
    path.write_bytes(path.read_bytes()[:-7])
    verdicts(("j", judge), generations("a", "bb"), KeptVerdicts(path), together=9)
    assert judge.asked == ["a", "bb", "bb"]
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("line", ["nonsense\n", "[1]\n", '{"asked": "a"}\n', '{"score": 1}\n'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s"
    path.write_text('{"asked": "k", "score": 1.0}\n' + line)
    with pytest.raises(StoreError, match=r"s:2: not a kept score"):
        KeptVerdicts(path)


@pytest.mark.parametrize("said", [None, [1.0], [1.0, float("nan")], [1.0, "good"], 3.0])
def test_nonsense_of_a_judge_is_an_error_and_nothing_is_kept(tmp_path: Path, said: Any) -> None:
    path = tmp_path / "s"
    with pytest.raises(PluginError, match="judge 'j'"):
        verdicts(("j", Says(said)), generations("a", "b"), KeptVerdicts(path), together=9)
    assert not path.exists()


def test_a_comparison_has_a_verdict_from_0_to_1(tmp_path: Path) -> None:
    pair = [Comparison(*generations("a", "b"))]
    kept = KeptVerdicts(tmp_path / "s")
    with pytest.raises(PluginError, match="from 0 to 1"):
        verdicts(("j", First(2.0)), pair, kept, together=9)
    assert verdicts(("j", First(0.5)), pair, kept, together=9) == [0.5]
