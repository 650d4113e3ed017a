"""Rewards whose calls overlap: no barriers, answers at their pair, none asked twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.core.scoring.endpoints import (
    Batches,
    Endpoint,
    Score,
    Threads,
    require_right,
)
from tgdpo_core import Cost, Example, TokenReward
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.sources import source_of_instance


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


def test_a_response_in_several_pairs_is_asked_about_once(
    scored: Score, small_tokenizer: Any
) -> None:
    pairs = [PreferencePair("q\n", "the best", f"worse {i}", f"row {i}") for i in range(9)]
    report = DataReport("test")
    table = ListedTokens(tokenize_pairs(pairs, small_tokenizer, LengthLimits(), report))
    values, record = scored(Endpoint(), table)
    require_right(values, table)
    assert record["asked"]["calls"] == 10


def test_what_it_cost_is_recorded(scored: Score, table: TokenTable) -> None:
    class Paid(Endpoint):
        """Two cents a call."""

        cost_note = Cost(per_call=0.02, currency="EUR")

    _, record = scored(Paid(), table)
    assert record["asked"]["cost"] == "1.2 EUR"
    by_tokens = Cost(per_1k_tokens=0.5)
    assert by_tokens.of(calls=60, tokens=3000) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (lambda self: 3.5, "cost\\(\\) \\(cost_note\\) is 3.5, a float. Say a Cost"),
        (lambda self: 1 / 0, "failed on its cost: ZeroDivisionError"),
        (lambda self: Cost(per_call="0.1"), "per_call of its Cost is '0.1'; it must be a number"),
        (lambda self: Cost(per_1k_tokens=float("nan")), "per_1k_tokens of its Cost is nan"),
    ],
)
def test_a_cost_that_is_none_is_refused_before_anything_is_asked(
    scored: Score, table: TokenTable, cost: Any, said: str
) -> None:
    priced = type("Priced", (Endpoint,), {"cost": cost, "__module__": __name__})
    with pytest.raises(PluginError, match=f"token reward 'Priced' .*{said}"):
        scored(priced(), table)
    assert not Endpoint.seen


def test_an_answer_fits_the_response_that_was_asked_about(scored: Score, table: TokenTable) -> None:
    class Shortens(Endpoint):
        """Changes what it was asked about."""

        async def score_one(self, example: Example) -> list[float]:
            """Return one value."""
            object.__setattr__(example, "response_ids", (1,))
            return [0.5]

    with pytest.raises(PluginError, match=r"got 1 values for \d+ response tokens"):
        scored(Shortens(), table)


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


@pytest.mark.parametrize("settings", [{"concurrency": -1}, {"batch_size": 2.5}])
def test_a_setting_that_is_no_count_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match=f"{next(iter(settings))} must be a whole number"):
        source_of_instance(type("Odd", (Endpoint,), {"__doc__": "Odd.", **settings})())
