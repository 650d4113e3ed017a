"""What rounding does to a reward: measured while it is computed, read from the store later."""

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
from tgdpo_core.scoring.rounding import Rounding
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance


class Coarse(TokenReward):
    """A model in a format of its own, whose values depend on how many are read together."""

    needs: ClassVar[tuple[str, ...]] = ("models",)
    dtype: str = option("bfloat16", help="of the model")
    error: float = option(0.25, help="what rounding adds where one pair is read alone")

    def setup(self, context: Any) -> None:
        """Say the format."""
        context.computes_in(getattr(torch, self.dtype))

    def score(self, batch: Sequence[Example]) -> list[list[float]]:
        """Return 1 for every token, and a little more where one pair is alone."""
        value = 1.0 + (self.error if len(batch) == 2 else 0.0)
        return [[value] * len(e.response_ids) for e in batch]


@pytest.fixture
def table(small_tokenizer: Any) -> TokenTable:
    pairs = [PreferencePair("q\n", f"answer {i}", f"no {i} no", f"row {i}") for i in range(6)]
    return ListedTokens(tokenize_pairs(pairs, small_tokenizer, LengthLimits(), DataReport("test")))


@pytest.fixture
def scorer(tmp_path: Path, small_tokenizer: Any) -> Callable[..., Scorer]:
    """A function: options of the reward -> what scores it."""

    def make(**options: Any) -> Scorer:
        settings = ScoringSettings(tmp_path / "store", torch.device("cpu"), Precision())
        reference = Reference({"model": "never loaded"}, lambda: pytest.fail("loaded"))
        source = source_of_instance(Coarse(**options))
        return Scorer(reference, [source], small_tokenizer, settings)

    return make


Make = Callable[..., Scorer]


def test_it_is_measured_once_and_found_by_later_runs(scorer: Make, table: TokenTable) -> None:
    first = scorer()
    first.rewards(first.sources[0], table)
    assert first.rounding(first.sources[0]) == Rounding(0.25, 1.0, "bfloat16")
    later = scorer()
    later.rewards(later.sources[0], table)
    assert later.counts["token_reward:Coarse"].computed == 0
    assert later.rounding(later.sources[0]) == first.rounding(first.sources[0])


def test_two_sources_of_one_name_are_told_apart(scorer: Make, table: TokenTable) -> None:
    one, other = scorer(), scorer(error=0.5)
    for each in (one, other):
        each.rewards(each.sources[0], table)
    assert [s.rounding(s.sources[0]).moved for s in (one, other)] == [0.25, 0.5]  # type: ignore[union-attr]


def test_in_float32_company_changes_nothing_and_nothing_is_kept(
    scorer: Make, table: TokenTable
) -> None:
    fine = scorer(dtype="float32", error=0.0)
    fine.rewards(fine.sources[0], table)
    assert fine.rounding(fine.sources[0]) is None
