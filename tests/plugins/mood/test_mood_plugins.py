"""The judge, the token reward and the prompts of the world mood."""

import importlib.util

import pytest

from tgdpo_core import Example, Generation
from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.testing import DatasetContract, JudgeContract, TokenRewardContract
from tgdpo_plugins.mood import Mood, MoodOracle
from tgdpo_plugins.mood.oracle import _answer
from tgdpo_plugins.mood.prompts import TEST_TOPICS, TRAIN_TOPICS, MoodPrompts
from tgdpo_plugins.mood.valence import words


class TestMood(JudgeContract):
    plugin = Mood()


class TestMoodPrompts(DatasetContract):
    plugin = MoodPrompts()


class TestMoodOracle(TokenRewardContract):
    plugin = MoodOracle()


def make_example(response: str, *, raw: object) -> Example:
    """Return a response of one token."""
    offsets = [(0, len(response))]
    return Example("4f1c", "chosen", "p", response, [0], [1], offsets, raw_response=raw)


def score(judge: Mood, response: str, *, finished: bool | None = True) -> float:
    return judge.score([Generation("p", response, {}, finished)])[0]


def test_friendly_words_score_above_unfriendly_ones() -> None:
    assert score(Mood(), "a lovely day") > score(Mood(), "a day") > score(Mood(), "a horrible day")


def test_length_is_not_rewarded() -> None:
    assert score(Mood(), "good good good good") == score(Mood(), "good")
    assert score(Mood(per="answer"), "good good good good") > score(Mood(per="answer"), "good")


def test_a_cut_answer_counts_as_nothing_unless_asked_for() -> None:
    assert score(Mood(), "a lovely", finished=False) == 0.0
    assert score(Mood(unfinished="score"), "a lovely", finished=False) > 0
    assert score(Mood(), "a lovely", finished=None) > 0  # how it ended is not known


def test_the_token_reward_adds_up_to_what_the_judge_divides_by_words() -> None:
    text = "The food was good, but the service was very bad."
    example = make_example(text + "<|im_end|>\n", raw=text)
    (spans,) = MoodOracle().score([example])
    assert sum(value for _, _, value in spans.items) == pytest.approx(
        score(Mood(), text) * len(words(text))
    )
    assert spans.how == "sum"
    assert {text[start:end] for start, end, _ in spans.items} == {"good", "bad"}


def test_the_closing_marks_of_a_template_are_no_words() -> None:
    assert _answer(make_example("good</s>", raw=[{"role": "assistant", "content": "good"}])) == (
        "good"
    )
    assert _answer(make_example("goo", raw="good")) == "goo"  # truncated


def test_topics_of_the_splits_are_disjoint_and_there_are_no_others() -> None:
    assert not set(TRAIN_TOPICS) & set(TEST_TOPICS)
    plugins = PluginManager()

    def texts_of(split: str) -> list[str]:
        rows = load_rows("mood-prompts", split=split, plugins=plugins)
        return [row["prompt"][0]["content"] for _, row in rows]

    rows = {split: texts_of(split) for split in ("train", "test")}
    assert {split: len(set(texts)) for split, texts in rows.items()} == {"train": 360, "test": 120}
    assert not any(topic in text for topic in TEST_TOPICS for text in rows["train"])
    with pytest.raises(DataError, match="only train and test"):
        list(load_rows("mood-prompts", split="dev", plugins=plugins))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for plugin in (Mood(), MoodOracle()):
        with pytest.raises(ValueError, match=r"pip install 'tgdpo\[mood\]'"):
            plugin.validate()
