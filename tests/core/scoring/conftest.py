"""Tables, and what scores them with rewards whose calls overlap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.scoring.endpoints import Batches, Endpoint, Threads, scorer_of, table_of
from tgdpo_core import TokenReward
from tgdpo_core.data.token_table import TokenTable


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    Endpoint.seen.clear()
    Endpoint.live[:] = [0, 0]
    Batches.sizes.clear()
    Threads.names.clear()
    monkeypatch.setattr(Endpoint, "fails", staticmethod(lambda _: False))


@pytest.fixture
def table(small_tokenizer: Any) -> TokenTable:
    """Thirty pairs."""
    texts = [
        ("four is " * (1 + i % 7) + str(i), "the cat " * (1 + i % 4) + str(i)) for i in range(30)
    ]
    return table_of(texts, small_tokenizer)


@pytest.fixture
def scored(tmp_path: Path, small_tokenizer: Any) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A function: reward and table -> values by row, and what run.json says of the pass."""

    def score(reward: TokenReward, table: TokenTable) -> tuple[Any, dict[str, Any]]:
        scorer = scorer_of(reward, tmp_path, small_tokenizer)
        values = scorer.rewards(scorer.sources[0], table)
        return values, next(iter(scorer.totals()["passes"].values()))

    return score
