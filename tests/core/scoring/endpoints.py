"""Rewards whose calls overlap, in this process, and what scores a table with them."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Example, TokenReward, option
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance


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


class Keyed(Endpoint):
    """Needs a key."""

    api_key: str = option(secret=True, env="ANSWERS_TEST_KEY", help="the key")


def table_of(texts: Sequence[tuple[str, str]], tokenizer: Any) -> TokenTable:
    pairs = [PreferencePair(f"q{i % 3}\n", a, b, f"row {i}") for i, (a, b) in enumerate(texts)]
    return ListedTokens(tokenize_pairs(pairs, tokenizer, LengthLimits(), DataReport("test")))


def scorer_of(reward: TokenReward, root: Path, tokenizer: Any) -> Scorer:
    settings = ScoringSettings(root, torch.device("cpu"), Precision())
    reference = Reference({"model": "never loaded"}, lambda: pytest.fail("loaded"))
    return Scorer(reference, [source_of_instance(reward)], tokenizer, settings)


def require_right(values: Any, table: TokenTable) -> None:
    for row in range(len(table)):
        pair = table[row]
        sides = (pair.chosen, pair.rejected)
        expected = [float(len(side.text)) for side in sides for _ in side.ids]
        assert values[row].tolist() == expected


Score = Callable[[TokenReward, TokenTable], tuple[Any, dict[str, Any]]]
