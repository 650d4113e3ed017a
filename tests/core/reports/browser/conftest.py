"""Pairs to browse, made by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tgdpo_core.reports.browser.numbers import PairSource
from tgdpo_core.scoring.pairs import ScoredPair


@pytest.fixture
def make_source() -> Callable[..., PairSource]:
    """Makes what is browsed from scored pairs, pairs of further sources, and error tokens."""

    def make(
        pairs: Sequence[ScoredPair],
        sources: Mapping[str, Sequence[ScoredPair]] | None = None,
        errors: Any = None,
    ) -> PairSource:
        return PairSource(
            scored=pairs,
            sources=list((sources or {}).items()),
            errors=errors,
            token_name=lambda i: f"<{i}>",
            facts=[("model", "m")],
            signs=[],
            numbers=range(len(pairs)),
        )

    return make


@pytest.fixture
def many(scored_pair: Callable[..., ScoredPair]) -> list[ScoredPair]:
    """Forty-five pairs with random rewards."""
    rng = np.random.default_rng(0)
    return [
        scored_pair(
            rng.normal(size=3).tolist(), rng.normal(size=2).tolist(), where=f"pairs.jsonl:{i + 1}"
        )
        for i in range(45)
    ]


@pytest.fixture
def taken() -> Callable[[str], tuple[str, Any]]:
    """Returns name and value that a data script hands to the page."""

    def take(script: str) -> tuple[str, Any]:
        assert script.startswith("tokens.take(")
        assert script.endswith(");\n")
        name, value = json.loads(f"[{script[len('tokens.take(') : -len(');') - 1]}]")
        return name, value

    return take
