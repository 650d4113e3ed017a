"""What was answered is kept, whatever ends the pass; what cannot be asked is said first."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.core.scoring.endpoints import (
    Batches,
    Endpoint,
    Keyed,
    Score,
    Threads,
    require_right,
    scorer_of,
    table_of,
)
from tgdpo_core import Example
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.calls import Calls
from tgdpo_core.store.collection import Collection


def test_what_was_answered_before_a_failure_is_kept_and_not_asked_again(
    scored: Score, table: TokenTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "fails", staticmethod(lambda _: len(Endpoint.seen) >= 33))
    with pytest.raises(
        PluginError, match=r"'Endpoint'.*row \d+.*no money left\. 33 answers.* the rest"
    ):
        scored(Endpoint(), table)
    assert len(Endpoint.seen) == 33
    monkeypatch.setattr(Endpoint, "fails", staticmethod(lambda _: False))
    values, record = scored(Endpoint(), table)
    require_right(values, table)
    assert set(Counter(e.uid for e in Endpoint.seen).values()) == {1}
    assert len(Endpoint.seen) == 60
    assert record["asked"]["responses"] == 27


def test_the_rest_of_a_batch_with_one_wrong_answer_is_kept(
    scored: Score, small_tokenizer: Any
) -> None:
    texts = [("good 1", "good 2"), ("bad one", "good 3"), ("good 4", "good 5")]
    table = table_of(texts, small_tokenizer)
    with pytest.raises(PluginError, match=r"row 1 \(chosen\).*not finite.* 2 answers"):
        scored(Batches(), table)
    kept = {e.uid for e in Endpoint.seen if "bad" not in e.response}
    Endpoint.seen.clear()
    with pytest.raises(PluginError, match="not finite"):
        scored(Batches(), table)
    assert Endpoint.seen
    assert not kept & {e.uid for e in Endpoint.seen}


def test_the_first_call_goes_alone(
    scored: Score, table: TokenTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "fails", staticmethod(lambda _: True))
    with pytest.raises(PluginError, match="0 answers"):
        scored(Endpoint(), table)
    assert Endpoint.live[1] == 1


def test_an_interrupt_keeps_what_the_calls_under_way_still_give(
    table: TokenTable, tmp_path: Path, small_tokenizer: Any
) -> None:
    scorer = scorer_of(Endpoint(), tmp_path, small_tokenizer)
    task = scorer.task(table, 1)
    assert task.answers
    work = task.answers.fill(range(30))
    next(work)
    under_way = task.answers._calls.num_under_way
    before = task.answers.asked.responses
    work.close()  # what an interrupt between two answers comes to
    assert under_way > 1
    assert task.answers.asked.responses == before + under_way == len(Endpoint.seen)


@pytest.mark.parametrize("where", ["next", "drop", "add"])
def test_an_interrupt_at_any_moment_loses_no_answer(
    scored: Score, table: TokenTable, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    owner: Any = Collection if where == "add" else Calls
    original, calls = getattr(owner, where), []

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        calls.append(None)
        if len(calls) == 40 and where != "next":
            raise KeyboardInterrupt
        result = original(*arguments, **keywords)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        scored(Endpoint(), table)
    answered = len(Endpoint.seen)
    assert 0 < answered < 60
    monkeypatch.setattr(owner, where, original)
    values, record = scored(Endpoint(), table)
    require_right(values, table)
    assert len(Endpoint.seen) == 60
    assert record["asked"]["responses"] == 60 - answered


def test_a_plugin_that_gives_no_answer_is_stopped_at_the_limit(
    scored: Score, table: TokenTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Threads):
        """Never answers."""

        def score_one(self, example: Example) -> list[float]:
            """Hang."""
            time.sleep(60)
            return []

    monkeypatch.setenv("TGDPO_PLUGIN_TIMEOUT", "0.2")
    monkeypatch.setattr("tgdpo_core.scoring.answers._SECONDS_TO_FINISH", 0.1)
    with pytest.raises(PluginError, match=r"no answer for more than 0\.2 s"):
        scored(Silent(), table)


def test_a_missing_key_is_said_before_anything_is_computed(
    table: TokenTable, tmp_path: Path, small_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = scorer_of(Keyed(), tmp_path, small_tokenizer)
    with pytest.raises(PluginError, match=r"'Keyed'.*environment variable ANSWERS_TEST_KEY"):
        scorer.score(table)
    assert not Endpoint.seen
    monkeypatch.setenv("ANSWERS_TEST_KEY", "sk-1234")
    scorer.rewards(scorer.sources[0], table)
    monkeypatch.delenv("ANSWERS_TEST_KEY")
    scorer._require_secrets(table)  # nothing has to be asked


def test_a_key_in_the_fingerprint_is_refused_before_it_is_written(
    table: TokenTable, tmp_path: Path, small_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tells(Keyed):
        """Names its values by its key."""

        def fingerprint(self) -> dict[str, str]:
            """Return the key."""
            return {"account": self.api_key}

    monkeypatch.setenv("ANSWERS_TEST_KEY", "sk-canary-77aa")
    scorer = scorer_of(Tells(), tmp_path, small_tokenizer)
    with pytest.raises(PluginError, match="hold the value of a secret") as refused:
        scorer.score(table)
    assert "canary" not in str(refused.value)
    written = [p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file()]
    assert not any("canary" in text for text in written)
