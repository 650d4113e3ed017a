"""Verdicts from answers: who is asked what, what is kept, and what the files hold."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import Comparison, Explained, Generation, Judge, Unjudged
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.evaluation.contest import contest
from tgdpo_core.evaluation.opinions import AskedJudge
from tgdpo_core.evaluation.verdict_files import read_verdict, write_verdict
from tgdpo_core.evaluation.verdict_making import Rules, judge_all
from tgdpo_core.evaluation.verdict_page import verdict_page
from tgdpo_core.evaluation.verdict_summary import summarize
from tgdpo_core.evaluation.verdicts import NamedJudge, Opinion, Preference, Verdict
from tgdpo_core.generation.answers import Answer, AnsweredPrompt


class Longer(Judge):
    """Prefers the longer answer; of two in the same length the first."""

    reads = "comparisons"

    def __init__(self, fails_after: int | None = None) -> None:
        self.asked: list[Comparison] = []
        self._fails_after = fails_after

    def compare(self, batch: Sequence[Comparison]) -> list[float | Unjudged]:
        self.asked += batch
        if self._fails_after is not None and len(self.asked) > self._fails_after:
            raise RuntimeError("the server is gone")
        return [self._one(item.first.response, item.second.response) for item in batch]

    @staticmethod
    def _one(first: str, second: str) -> float | Unjudged:
        if "odd" in first + second:
            return Unjudged("prose", "I like both.")
        return Explained(float(len(first) >= len(second)), f"{len(first)} and {len(second)}")


class Length(Judge):
    """Characters."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        return [float(len(item.response)) for item in batch]


def answers(texts: Sequence[str], **more: Any) -> list[AnsweredPrompt]:
    return [
        AnsweredPrompt(
            f"prompt {i}", (Answer(text, **{"finished": True, "num_tokens": 3, **more}),)
        )
        for i, text in enumerate(texts)
    ]


def asked(judge: Judge, name: str = "j") -> AskedJudge:
    return AskedJudge(NamedJudge(name, judge.reads), judge, {"judge": type(judge).__name__})


def verdict(
    by_model: dict[str, list[AnsweredPrompt]], judge: AskedJudge, store: Path, **rules: Any
) -> Verdict:
    return judge_all(contest(by_model), [judge], Rules("a", store=store, **rules))


def only(found: Verdict, number: int = 0) -> Preference:
    (preference,) = found.prompts[number].preferences
    return preference


BY_MODEL = {"a": answers(["aa", "same", "odd"]), "b": answers(["bbb", "same", "bbbbb"])}


def test_both_orders_are_asked_and_equal_answers_are_ties(tmp_path: Path) -> None:
    judge = asked(Longer())
    found = verdict(BY_MODEL, judge, tmp_path)
    first = only(found)
    assert (first.model, first.other, first.value) == ("b", "a", 1.0)
    assert [each.explanation for each in first.opinions] == ["3 and 2", "2 and 3"]
    assert only(found, 1).value == 0.5
    assert only(found, 2).value is None
    assert judge.counts.as_dict() == {
        "asked": 4,
        "kept": 0,
        "identical": 1,
        "unfinished": 0,
        "unjudged": {"prose": 2},
    }


def test_what_was_judged_is_never_asked_again_in_whichever_order_models_come(
    tmp_path: Path,
) -> None:
    first = verdict(BY_MODEL, asked(Longer()), tmp_path)
    again = asked(judge := Longer())
    turned = {"b": BY_MODEL["b"], "a": BY_MODEL["a"]}
    second = verdict(turned, again, tmp_path)
    assert [only(second, i).value for i in range(3)] == [only(first, i).value for i in range(3)]
    assert only(second).shown_first == only(first).shown_first
    assert len(judge.asked) == again.counts.asked == 2  # what is unjudged is asked again
    assert again.counts.kept == 2


def test_what_was_judged_before_a_judge_failed_is_kept(tmp_path: Path) -> None:
    by_model = {"a": answers(["a"] * 100), "b": answers([f"bbb {i}" for i in range(100)])}
    with pytest.raises(Exception, match="the server is gone"):
        verdict(by_model, asked(Longer(fails_after=64)), tmp_path)
    again = asked(Longer())
    verdict(by_model, again, tmp_path)
    assert (again.counts.kept, again.counts.asked) == (64, 136)


def test_another_judge_does_not_get_what_one_said(tmp_path: Path) -> None:
    verdict(BY_MODEL, asked(Longer()), tmp_path)
    other = replace(asked(Longer()), identity={"judge": "Longer", "options": {"x": 1}})
    verdict(BY_MODEL, other, tmp_path)
    assert other.counts.kept == 0


@pytest.mark.parametrize(
    ("rule", "score", "preferred"), [("score", 2.0, 1.0), ("zero", 0.0, 1.0), ("skip", None, None)]
)
def test_unfinished_answers_count_as_the_rule_says(
    rule: str, score: float | None, preferred: float | None, tmp_path: Path
) -> None:
    by_model = {"a": answers(["aa"], finished=False), "b": answers(["bbb"])}
    of_scores = verdict(by_model, asked(Length()), tmp_path, unfinished=rule)
    assert of_scores.prompts[0].answers["a"][0].scores["j"].value == score
    assert only(verdict(by_model, asked(Longer()), tmp_path, unfinished=rule)).value == preferred


def test_a_finished_answer_wins_against_an_unfinished_one_where_that_counts_zero(
    tmp_path: Path,
) -> None:
    by_model = {"a": answers(["a" * 50], finished=False), "b": answers(["b"])}
    judge = asked(Longer())
    assert only(verdict(by_model, judge, tmp_path, unfinished="zero")).value == 1.0
    assert (judge.counts.asked, judge.counts.unfinished) == (0, 1)


def test_all_pairs_are_compared_where_that_is_asked_for(tmp_path: Path) -> None:
    three = {**BY_MODEL, "c": answers(["c", "cc", "ccc"])}
    found = verdict(three, asked(Longer()), tmp_path, pairs="all")
    pairs = [(each.model, each.other) for each in found.prompts[0].preferences]
    assert pairs == [("b", "a"), ("c", "a"), ("c", "b")]


def test_one_model_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="compares two models"):
        verdict({"a": BY_MODEL["a"]}, asked(Longer()), tmp_path)


# -- answers put together -------------------------------------------------------------------------


def test_prompts_that_not_all_have_answered_and_repeated_ones_are_left_out_and_said() -> None:
    a = [*answers(["x", "y", "z"]), *answers(["again"])]
    found = contest({"a": a, "b": answers(["x", "y"])})
    assert [prompt.prompt for prompt in found.prompts] == ["prompt 0", "prompt 1"]
    assert found.prompts[0].answers["a"][0].text == "x"
    assert found.notes == (
        "a: 1 of 4 prompts left out: there before.",
        "1 of 3 prompts left out: not answered by all.",
    )


def test_models_without_a_prompt_in_common_are_refused() -> None:
    with pytest.raises(DataError, match=r"No prompt was answered by all models: a has 1, b has 1"):
        contest({"a": answers(["x"]), "b": [AnsweredPrompt("other", answers(["x"])[0].answers)]})


def test_as_many_answers_count_as_all_models_have() -> None:
    many = [AnsweredPrompt("prompt 0", (*answers(["x"])[0].answers, *answers(["y"])[0].answers))]
    found = contest({"a": many, "b": answers(["z"])})
    assert [answer.text for answer in found.prompts[0].answers["a"]] == ["x"]
    assert "The first 1 answers of each prompt count" in found.notes[0]


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path) -> Verdict:
    by_model = {
        "a": answers(["aa", "</script><b>", "odd"], seed=1),
        "b": answers(["bbb", "\u202ebidi", "bbbbb"], finished=False),
    }
    judges = [asked(Longer(), "pairs"), asked(Length(), "length")]
    columns = [[replace(item, columns={"kind": 1}) for item in some] for some in by_model.values()]
    together = contest(dict(zip(by_model, columns, strict=True)), {"a": [[0.5], [0.25], [1.0]]})
    return judge_all(together, judges, Rules("a", store=tmp_path / "store"))


def test_what_is_written_is_read_again(found: Verdict, tmp_path: Path) -> None:
    write_verdict(tmp_path / "v", found, summarize(found, num_resamples=20))
    assert read_verdict(tmp_path / "v") == found
    lines = (tmp_path / "v" / "verdict.csv").read_text().splitlines()
    assert len(lines) == 1 + 6
    assert lines[0].startswith("prompt_key,prompt,model,draw,answer,finished,num_tokens")


def test_what_was_said_twice_is_averaged_in_the_table(found: Verdict, tmp_path: Path) -> None:
    (first, *others) = found.prompts
    one = next(each for each in first.preferences if each.value is not None)
    other = replace(one, shown_first=Opinion(0.25), shown_second=Opinion(0.25))
    said = [other, replace(other, shown_first=Opinion(0.75), shown_second=Opinion(0.75))]
    twice = replace(found, prompts=[replace(first, preferences=said), *others])
    write_verdict(tmp_path / "v", twice, summarize(twice, num_resamples=20))
    with (tmp_path / "v" / "verdict.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["model"] == one.model)
    column = f"{one.judge}:{one.other}"
    assert float(row[f"preferred:{column}"]) == 0.5
    assert float(row[f"shown_first:{column}"]) == 0.5


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other"}', "[1]"])
def test_another_file_is_no_verdict(text: str, tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(DataError, match="not a verdict"):
        read_verdict(tmp_path)


def test_the_page_holds_its_data_as_text_and_asks_nothing_of_others(found: Verdict) -> None:
    page = verdict_page(found, summarize(found, num_resamples=20), ["<note>"])
    assert "</script><b>" not in page
    assert "&lt;note&gt;" in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "default-src 'none'" in page
    _, _, rest = page.partition('<script type="application/json" id="data">')
    data = json.loads(rest.partition("</script>")[0])
    assert data["entries"][1]["a"][0]["t"] == "</script><b>"
    assert data["entries"][1]["a"][1]["t"] == "\\u202ebidi"
    assert [entry["a"][0]["kl"] for entry in data["entries"]] == [0.5, 0.25, 1.0]
    assert data["entries"][2]["v"][0]["f"] == [None, "prose", "I like both."]
