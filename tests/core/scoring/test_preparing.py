"""Rewards that are fitted to the training set: once, kept in the store, named by its content."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import Example, TokenReward, option
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance


class Rarity(TokenReward):
    """log(n / df) of every token over the training set."""

    smoothing: float = option(0.0, help="added to df")
    fits: ClassVar[list[int]] = []

    def prepare(self, context: Any, examples: Any) -> None:
        """Count in how many responses a token is."""
        self.fits.append(len(examples))
        counts = Counter(token for e in examples for token in set(e.response_ids))
        document = {"n": len(examples), "df": {str(token): n for token, n in counts.items()}}
        (context.artifacts / "df.json").write_text(json.dumps(document))

    def setup(self, context: Any) -> None:
        """Read the counts."""
        self._known = json.loads((context.artifacts / "df.json").read_text())

    def score_one(self, example: Example) -> list[float]:
        """Return the rarity of each token."""
        known = self._known["df"]
        n = self._known["n"] + 1
        return [math.log(n / (known.get(str(t), 0) + 1)) for t in example.response_ids]


@pytest.fixture(autouse=True)
def _forget() -> None:
    Rarity.fits.clear()


@pytest.fixture
def table(small_tokenizer: Any) -> Callable[..., TokenTable]:
    """A function that returns a table of pairs from a number on."""

    def make(first: int = 0, number: int = 8) -> TokenTable:
        pairs = [
            PreferencePair("q\n", f"answer {i}", f"no {i} no", f"row {i}")
            for i in range(first, first + number)
        ]
        report = DataReport("test")
        return ListedTokens(tokenize_pairs(pairs, small_tokenizer, LengthLimits(), report))

    return make


@pytest.fixture
def scorer(tmp_path: Path, small_tokenizer: Any) -> Callable[..., Scorer]:
    """A function: training set and reward -> what scores."""

    def make(training: TokenTable | None, reward: TokenReward | None = None) -> Scorer:
        settings = ScoringSettings(tmp_path / "store", torch.device("cpu"), Precision())
        reference = Reference({"model": "never loaded"}, lambda: pytest.fail("loaded"))
        source = source_of_instance(reward or Rarity())
        return Scorer(reference, [source], small_tokenizer, settings, training=training)

    return make


Make = Callable[..., Any]


def values(scorer: Scorer, table: TokenTable) -> list[list[float]]:
    found = scorer.rewards(scorer.sources[0], table)
    return [found[row].tolist() for row in range(len(table))]


def test_it_is_fitted_once_to_the_whole_training_set_and_used_by_all(
    scorer: Make, table: Make
) -> None:
    training = table()
    first = values(scorer(training), training)
    part = values(scorer(training), training.take([3, 5]))
    evaluation = values(scorer(training), table(100, 4))
    assert Rarity.fits == [16]
    assert part == [first[3], first[5]]
    assert len(evaluation) == 4
    # EOS is in every response.
    assert first[0][-1] == 0.0


def test_the_training_set_is_part_of_the_key(scorer: Make, table: Make) -> None:
    rows = table(0, 2)
    one, other = scorer(table(0, 8)), scorer(table(0, 4))
    assert values(one, rows) != values(other, rows)
    assert one.keys != other.keys
    assert Rarity.fits == [16, 8]


def test_options_make_another_fit_and_a_complete_store_needs_none(
    scorer: Make, table: Make, tmp_path: Path
) -> None:
    training = table()
    values(scorer(training), training)
    values(scorer(training, Rarity(smoothing=1.0)), training)
    assert Rarity.fits == [16, 16]
    for folder in (tmp_path / "store" / "tables" / "artifacts").glob("*/"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    values(scorer(training), training)
    assert Rarity.fits == [16, 16]


def test_without_a_training_set_it_is_refused(scorer: Make, table: Make) -> None:
    with pytest.raises(PluginError, match=r"'Rarity'.*fitted to a training set.*none here"):
        values(scorer(None), table())


class Pickles(Rarity):
    """Leaves a pickle."""

    def prepare(self, context: Any, examples: Any) -> None:
        """Write one."""
        torch.save({}, context.artifacts / "model.pt")


class Nothing(Rarity):
    """Keeps what it learns to itself."""

    def prepare(self, context: Any, examples: Any) -> None:
        """Leave nothing."""
        self._known = {"n": 1}


class Fails(Rarity):
    """Does not get through."""

    def prepare(self, context: Any, examples: Any) -> None:
        """Fail after a file was written."""
        super().prepare(context, examples)
        raise KeyError("lost")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (Pickles, r"'Pickles'.*left model\.pt.*use safetensors, JSON"),
        (Nothing, r"'Nothing'.*left no file in context\.artifacts"),
        (Fails, r"'Fails'.*failed on the training set: KeyError"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_left(
    scorer: Make, table: Make, reward: type[Rarity], message: str, tmp_path: Path
) -> None:
    training = table()
    with pytest.raises(PluginError, match=message):
        values(scorer(training, reward()), training)
    left = [p for p in (tmp_path / "store" / "tables" / "artifacts").iterdir() if p.is_dir()]
    assert left == []


def test_a_reward_without_prepare_has_no_artifacts(scorer: Make, table: Make) -> None:
    class Asks(TokenReward):
        """Looks for what it never wrote."""

        def setup(self, context: Any) -> None:
            """Ask."""
            context.artifacts.iterdir()

        def score_one(self, example: Example) -> list[float]:
            """Unreached."""
            return []

    with pytest.raises(PluginError, match=r"no context\.artifacts.*prepare"):
        values(scorer(table(), Asks()), table())


def test_prepare_gets_columns_and_reference_log_probs_that_it_needs(
    tmp_path: Path, small_tokenizer: Any, model_folder: Path
) -> None:
    from transformers import AutoModelForCausalLM

    class Needs(Rarity):
        """Looks at all it asked for."""

        needs = ("column:level", "reference_logps")
        seen: ClassVar[list[Any]] = []

        def prepare(self, context: Any, examples: Any) -> None:
            """Note what came."""
            super().prepare(context, examples)
            self.seen += [(e.columns["level"], len(e.shared["reference_logps"])) for e in examples]

    pairs = [PreferencePair("q\n", f"a {i}", "no", f"row {i}", {"level": i}) for i in range(3)]
    report = DataReport("test")
    training = ListedTokens(tokenize_pairs(pairs, small_tokenizer, LengthLimits(), report))
    settings = ScoringSettings(tmp_path / "store", torch.device("cpu"), Precision())
    reference = Reference(
        {"model": "x"}, lambda: AutoModelForCausalLM.from_pretrained(model_folder)
    )
    source = source_of_instance(Needs())
    scorer = Scorer(reference, [source], small_tokenizer, settings, training=training)
    part = training.take([1])  # what inspect does
    scorer.reference_logps(part)
    scorer.rewards(source, part)
    assert [level for level, _ in Needs.seen] == [0, 0, 1, 1, 2, 2]
    lengths = [
        len(s.ids) for row in range(3) for s in (training[row].chosen, training[row].rejected)
    ]
    assert [length for _, length in Needs.seen] == lengths
