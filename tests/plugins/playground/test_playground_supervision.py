"""What the labels of rollouts know: worked out by hand, and without the checker."""

from collections.abc import Sequence
from typing import Literal, NoReturn

import pytest

from tgdpo_plugins.playground import rollouts
from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.rollouts import Rollout
from tgdpo_plugins.playground.sampling import sampled_results
from tgdpo_plugins.playground.supervision import (
    NUM_CONTINUATIONS,
    NUM_VOTES,
    Results,
    Target,
    answer_labels,
    beginnings,
    chances,
    elected,
    labels_for,
    progress_labels,
    step_labels,
    value_labels,
)

OUT = -100

# 3+4=7 is answered by 8 (wrong); 8*2=16 is then right, but the result should have been 4.
ONE_ERROR = Rollout("3+4*2=", " so +48 now  well *26")
RIGHT = Rollout("3+4*2=", " so +47 now *24")
# 7-3=4 is answered by 1 and 1*0=0 is right again, as is the result.
LUCKY = Rollout("7-3*0=", " so -31 and *00")
# The second operator is copied wrongly, which ends the judging.
BROKEN = Rollout("3+4*2=", " so +47 now -25")


def no_continuations(texts: Sequence[str], num_samples: int) -> Results:
    raise AssertionError("the model was asked")


def test_step_labels_are_those_of_the_checker() -> None:
    #                              so + 4 8  now well * 2 6 EOS
    assert step_labels(ONE_ERROR) == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    #                           so + 4 7 now - 2 5 EOS
    assert step_labels(BROKEN) == [1, 1, 1, 1, 1, 0, OUT, OUT, OUT]


def test_an_answer_label_stands_on_the_prompts_last_token_and_all_behind_it() -> None:
    assert answer_labels(RIGHT, True) == [1] * 10
    assert answer_labels(ONE_ERROR, False) == [0] * 11


@pytest.mark.parametrize(("target", "of_lucky"), [("solved", 0), ("outcome", 1)])
def test_the_outcome_is_the_last_digit_and_solved_is_every_step(
    target: Literal["solved", "outcome"], of_lucky: int
) -> None:
    labels = labels_for(target, [RIGHT, ONE_ERROR, LUCKY], no_continuations)
    assert labels == [[1] * 10, [0] * 11, [of_lucky] * 10]


def test_an_answer_is_begun_again_from_the_prompt_and_behind_every_step_but_the_last() -> None:
    assert beginnings(ONE_ERROR) == ["3+4*2=", "3+4*2= so +48"]
    assert beginnings(BROKEN) == ["3+4*2=", "3+4*2= so +47"]
    assert beginnings(Rollout("3+4*2=", " so  now ")) == ["3+4*2="]


def test_chances_are_shares_of_trials_and_at_the_end_the_answer_itself() -> None:
    trials = {"3+4*2=": ["4", "4", "6", None], "3+4*2= so +48": ["6", "4", "6", None]}
    assert chances(ONE_ERROR, trials, "4") == [0.5, 0.25, 0]
    assert chances(ONE_ERROR, trials, "6") == [0.25, 0.5, 1]
    assert chances(ONE_ERROR, trials, None) == [0, 0, 0]


def test_a_value_is_that_behind_the_step_and_the_prompt_has_its_own() -> None:
    #                                                  =    so + 4 8      now well * 2 6 EOS
    assert value_labels(ONE_ERROR, [0.5, 0.25, 1]) == [0.5, *[0.25] * 4, *[1] * 6]


@pytest.mark.parametrize(
    ("values", "first", "second"),
    [
        ([0.5, 0.25, 0], 0.5, 0),
        ([0.25, 0.5, 1], 1, 1),  # chances that rose count as kept
        ([0.5, 0, 0], 0, OUT),
        ([0, 0.125, 0], OUT, 0),
    ],
)
def test_progress_is_the_part_of_the_chances_that_a_step_left(
    values: list[float], first: float, second: float
) -> None:
    assert progress_labels(ONE_ERROR, values) == [*[first] * 4, *[second] * 6]


@pytest.mark.parametrize(
    ("results", "result"),
    [
        (["3", "5", "5", None], "5"),
        (["7", "2", "2", "7"], "7"),
        ([None, None, "1"], "1"),
        ([], None),
    ],
)
def test_most_votes_elect_and_the_first_of_equals(results: list[str | None], result: str) -> None:
    assert elected(results) == result


def continuing(texts: Sequence[str], num_samples: int) -> Results:
    """A model that comes to 4 three times of four, except behind the error, where never."""
    return {
        text: ["6" if text.endswith("8") or i % 4 == 0 else "4" for i in range(num_samples)]
        for text in texts
    }


@pytest.mark.parametrize("who", ["monte-carlo", "self-consistency"])
def test_labels_by_continuations(who: Literal["monte-carlo", "self-consistency"]) -> None:
    # The answer key and most answers say 4.
    some = [ONE_ERROR, RIGHT]
    assert labels_for(who, some, continuing) == [
        [0.75, *[0] * 4, *[0] * 6],
        [0.75, *[0.75] * 4, *[1] * 5],
    ]
    progress: Target = f"{who}-progress"
    assert labels_for(progress, some, continuing) == [
        [*[0] * 4, *[OUT] * 6],
        [*[1] * 4, *[1] * 5],
    ]


def test_self_consistency_believes_most_answers_and_not_the_key() -> None:
    def misled(texts: Sequence[str], num_samples: int) -> Results:
        return {text: ["6"] * num_samples for text in texts}

    first, second = labels_for("self-consistency", [ONE_ERROR, RIGHT], misled)
    assert first == [1] * 11
    assert second == [1] * 5 + [0] * 5


def test_every_text_is_continued_once_and_votes_are_more() -> None:
    asked: list[tuple[list[str], int]] = []

    def listening(texts: Sequence[str], num_samples: int) -> Results:
        asked.append((list(texts), num_samples))
        return continuing(texts, num_samples)

    labels_for("self-consistency", [ONE_ERROR, RIGHT], listening)
    assert asked == [
        (["3+4*2=", "3+4*2="], NUM_VOTES),
        (["3+4*2=", "3+4*2= so +48", "3+4*2= so +47"], NUM_CONTINUATIONS),
    ]


@pytest.mark.parametrize(
    "target",
    [
        "outcome",
        "monte-carlo",
        "monte-carlo-progress",
        "self-consistency",
        "self-consistency-progress",
    ],
)
def test_labels_without_steps_never_ask_the_checker(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the checker was asked")

    monkeypatch.setattr(rollouts, "check_text", refuse)
    fresh = [Rollout(r.prompt, r.response) for r in (ONE_ERROR, RIGHT)]
    assert len(labels_for(target, fresh, continuing)) == 2
    with pytest.raises(AssertionError, match="the checker was asked"):
        labels_for("steps", fresh, continuing)


def test_self_consistency_never_asks_for_the_answer_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("tgdpo_plugins.playground.supervision.true_result")
    assert len(labels_for("self-consistency-progress", [RIGHT], continuing)) == 1
    with pytest.raises(NameError, match="true_result"):
        labels_for("monte-carlo-progress", [RIGHT], continuing)


def test_the_model_goes_on_from_every_text_and_its_results_are_kept() -> None:
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(str(Playground.model))
    tokenizer = AutoTokenizer.from_pretrained(Playground.model)
    whole = "3+4*2-5+1*7= so +47 then *24 now -59 and +10 thus *70"
    texts = ["3+4*2-5+1*7=", whole, "3+4*2-5+1*7= so +47"]
    results = sampled_results(model, tokenizer, texts=texts, num_samples=8, seeds=iter(range(9)))
    assert list(results) == texts
    assert all(len(some) == 8 for some in results.values())
    assert results[whole].count("0") >= 6  # little is left to do but to end
    again = sampled_results(model, tokenizer, texts=texts, num_samples=8, seeds=iter(range(9)))
    assert again == results
    other = sampled_results(model, tokenizer, texts=texts, num_samples=8, seeds=iter(range(5, 9)))
    assert other != results
