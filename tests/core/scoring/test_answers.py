"""Rewards whose calls overlap: no barriers, every answer kept as it comes, none asked twice."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Cost, Example, TokenReward, option
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.calls import Calls
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance
from tgdpo_core.store.collection import Collection


class Endpoint(TokenReward):
    """A slow server in this process: the length of the response, on every token."""

    concurrency = 8
    seen: ClassVar[list[Example]] = []
    live: ClassVar[list[int]] = [0, 0]  # now, at most
    fails: ClassVar[Callable[[Example], bool]] = staticmethod(lambda _: False)

    def fingerprint(self) -> dict[str, str]:
        """Subclasses ask the same server."""
        return {}

    async def score_one(self, example: Example) -> list[float]:
        """Return the values after a pause that differs from text to text."""
        self.live[0] += 1
        self.live[1] = max(self.live)
        await asyncio.sleep(0.002 * (len(example.response) % 5))
        self.live[0] -= 1
        if type(self).fails(example):
            raise OSError("no money left")
        self.seen.append(example)
        return [float(len(example.response))] * len(example.response_ids)


class Threads(TokenReward):
    """The same from a method that waits."""

    concurrency = 4
    names: ClassVar[set[str]] = set()

    def score_one(self, example: Example) -> list[float]:
        """Return the values from one of several threads."""
        time.sleep(0.005)
        self.names.add(f"{threading.get_ident()}")
        return [float(len(example.response))] * len(example.response_ids)


class Batches(Endpoint):
    """Several responses a call."""

    batch_size = 3
    sizes: ClassVar[list[int]] = []

    async def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return NaN where the response says so."""
        self.sizes.append(len(batch))
        results = [await self.score_one(example) for example in batch]
        return [
            [torch.nan] * len(values) if "bad" in example.response else values
            for example, values in zip(batch, results, strict=True)
        ]


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    Endpoint.seen.clear()
    Endpoint.live[:] = [0, 0]
    Batches.sizes.clear()
    Threads.names.clear()
    monkeypatch.setattr(Endpoint, "fails", staticmethod(lambda _: False))


def table_of(texts: Sequence[tuple[str, str]], tokenizer: Any) -> TokenTable:
    pairs = [PreferencePair(f"q{i % 3}\n", a, b, f"row {i}") for i, (a, b) in enumerate(texts)]
    return ListedTokens(tokenize_pairs(pairs, tokenizer, LengthLimits(), DataReport("test")))


@pytest.fixture
def table(small_tokenizer: Any) -> TokenTable:
    """Thirty pairs."""
    texts = [
        ("four is " * (1 + i % 7) + str(i), "the cat " * (1 + i % 4) + str(i)) for i in range(30)
    ]
    return table_of(texts, small_tokenizer)


def scorer_of(reward: TokenReward, root: Path, tokenizer: Any) -> Scorer:
    settings = ScoringSettings(root, torch.device("cpu"), Precision())
    reference = Reference({"model": "never loaded"}, lambda: pytest.fail("loaded"))
    return Scorer(reference, [source_of_instance(reward)], tokenizer, settings)


@pytest.fixture
def scored(tmp_path: Path, small_tokenizer: Any) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A function: reward and table -> values by row, and what run.json says of the pass."""

    def score(reward: TokenReward, table: TokenTable) -> tuple[Any, dict[str, Any]]:
        scorer = scorer_of(reward, tmp_path, small_tokenizer)
        values = scorer.rewards(scorer.sources[0], table)
        return values, next(iter(scorer.totals()["passes"].values()))

    return score


def require_right(values: Any, table: TokenTable) -> None:
    for row in range(len(table)):
        pair = table[row]
        sides = (pair.chosen, pair.rejected)
        expected = [float(len(side.text)) for side in sides for _ in side.ids]
        assert values[row].tolist() == expected


Score = Callable[[TokenReward, TokenTable], tuple[Any, dict[str, Any]]]


def test_answers_find_their_pair_in_whatever_order_they_come(
    scored: Score, table: TokenTable
) -> None:
    values, record = scored(Endpoint(), table)
    require_right(values, table)
    assert [record[name] for name in ("computed", "reused")] == [30, 0]
    assert record["asked"] == {"calls": 60, "responses": 60, "reused": 0, "cost": ""} | {
        "tokens": record["asked"]["tokens"]
    }


def test_as_many_calls_are_under_way_as_the_class_says(scored: Score, table: TokenTable) -> None:
    scored(Endpoint(), table)
    assert Endpoint.live[1] == 8


def test_a_method_that_waits_is_called_from_threads(scored: Score, table: TokenTable) -> None:
    values, _ = scored(Threads(), table)
    require_right(values, table)
    assert len(Threads.names) == 4


def test_batches_have_the_size_of_the_class(scored: Score, table: TokenTable) -> None:
    values, record = scored(Batches(), table)
    require_right(values, table)
    assert Counter(Batches.sizes) == {3: 20}
    assert record["asked"]["calls"] == 20


def test_one_call_after_the_other_has_the_batch_size_too(scored: Score, table: TokenTable) -> None:
    class InTurn(TokenReward):
        """One call at a time."""

        batch_size = 3
        sizes: ClassVar[list[int]] = []

        def score(self, batch: Sequence[Example]) -> list[list[float]]:
            """Return the lengths of the responses."""
            self.sizes.append(len(batch))
            return [[float(len(e.response))] * len(e.response_ids) for e in batch]

    values, record = scored(InTurn(), table)
    require_right(values, table)
    assert max(InTurn.sizes) == 3
    assert "asked" not in record


def test_no_call_waits_for_a_slow_one(scored: Score, table: TokenTable) -> None:
    class OneSlow(Endpoint):
        """The first text of the second call takes as long as all others together."""

        order: ClassVar[list[str]] = []

        async def score_one(self, example: Example) -> list[float]:
            """Wait until 50 others were answered."""
            number = len(self.seen)
            if number == 1 and "slow" not in self.order:
                self.order.append("slow")
                while len(self.seen) < 50:
                    await asyncio.sleep(0.001)
            return await super().score_one(example)

    scored(OneSlow(), table)
    assert len(Endpoint.seen) == 60


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


def test_a_response_in_several_pairs_is_asked_about_once(
    scored: Score, small_tokenizer: Any
) -> None:
    pairs = [PreferencePair("q\n", "the best", f"worse {i}", f"row {i}") for i in range(9)]
    report = DataReport("test")
    table = ListedTokens(tokenize_pairs(pairs, small_tokenizer, LengthLimits(), report))
    values, record = scored(Endpoint(), table)
    require_right(values, table)
    assert record["asked"]["calls"] == 10


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


def test_what_it_cost_is_recorded(scored: Score, table: TokenTable) -> None:
    class Paid(Endpoint):
        """Two cents a call."""

        cost_note = Cost(per_call=0.02, currency="EUR")

    _, record = scored(Paid(), table)
    assert record["asked"]["cost"] == "1.2 EUR"
    by_tokens = Cost(per_1k_tokens=0.5)
    assert by_tokens.of(calls=60, tokens=3000) == pytest.approx(1.5)


def test_a_batch_that_is_sorted_in_place_is_refused(scored: Score, table: TokenTable) -> None:
    class Sorts(Batches):
        """Sorts what it is given."""

        async def score(self, batch: Any) -> list[Any]:
            """Reverse in place."""
            batch.reverse()
            return await super().score(batch)

    with pytest.raises(PluginError, match="order of its batch in place"):
        scored(Sorts(), table)


def test_setup_and_teardown_may_wait_in_the_same_loop(scored: Score, table: TokenTable) -> None:
    class Connects(Endpoint):
        """Holds something that belongs to its loop."""

        loops: ClassVar[list[Any]] = []

        async def setup(self, context: Any) -> None:  # type: ignore[override]
            """Note the loop."""
            self.loops.append(asyncio.get_running_loop())

        async def score_one(self, example: Example) -> list[float]:
            """Note the loop."""
            self.loops.append(asyncio.get_running_loop())
            return await super().score_one(example)

        async def teardown(self) -> None:  # type: ignore[override]
            """Note the loop."""
            self.loops.append(asyncio.get_running_loop())

    scored(Connects(), table)
    assert len(Connects.loops) == 62
    assert len(set(map(id, Connects.loops))) == 1


class Keyed(Endpoint):
    """Needs a key."""

    api_key: str = option(secret=True, env="ANSWERS_TEST_KEY", help="the key")


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


@pytest.mark.parametrize("settings", [{"concurrency": -1}, {"batch_size": 2.5}])
def test_a_setting_that_is_no_count_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=f"{next(iter(settings))} must be a whole number"):
        source_of_instance(type("Odd", (Endpoint,), {"__doc__": "Odd.", **settings})())


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
