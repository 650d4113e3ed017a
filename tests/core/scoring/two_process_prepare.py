"""What each process of test_preparing_in_two_processes.py runs: a fitted reward."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from tests.conftest import SENTENCES, train_bpe
from tgdpo_core import Example, TokenReward
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.token_table import ListedTokens
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings
from tgdpo_core.scoring.sources import source_of_instance

folder = Path(sys.argv[1])
state = PartialState(cpu=True)


class Fitted(TokenReward):
    """The number of training responses, on every token; notes who has fitted it."""

    def prepare(self, context: Any, examples: Any) -> None:
        """Take a while."""
        time.sleep(0.5)
        with (folder / "fits").open("a") as file:
            file.write(f"{state.process_index}\n")
        (context.artifacts / "n.json").write_text(json.dumps(len(examples)))

    def setup(self, context: Any) -> None:
        """Read it."""
        self._n = json.loads((context.artifacts / "n.json").read_text())

    def score_one(self, example: Example) -> list[float]:
        """Return it."""
        return [float(self._n)] * len(example.response_ids)


class Fails(Fitted):
    """Cannot be fitted."""

    def prepare(self, context: Any, examples: Any) -> None:
        """Fail."""
        raise ValueError("no words")


tokenizer = train_bpe(SENTENCES * 4, vocab_size=330)
pairs = [PreferencePair("q\n", f"a {i}", f"no {i}", f"row {i}") for i in range(40)]
table = ListedTokens(tokenize_pairs(pairs, tokenizer, LengthLimits(), DataReport("test")))
settings = ScoringSettings(folder / "store", torch.device("cpu"), Precision())
reference = Reference({"model": "never loaded"}, lambda: None)
found: dict[str, Any] = {}
for reward in (Fitted(), Fails()):
    scorer = Scorer(reference, [source_of_instance(reward)], tokenizer, settings, training=table)
    try:
        values = scorer.rewards(scorer.sources[0], table)
        found["values"] = sorted({v for row in range(40) for v in values[row].tolist()})
    except PluginError as error:
        found["error"] = str(error)
(folder / f"found-{state.process_index}.json").write_text(json.dumps(found))
state.destroy_process_group()
