"""Where the bench meets models and the store: rewards on the tokens of marked rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport, OnBadRow
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.marks.reading import require_usable
from tgdpo_core.marks.responses import MarkedRow
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.plugin_api.rewards import SpecialTokensInText
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.progress import stage
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.passes import ask
from tgdpo_core.scoring.preparing import training_hash
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.scoring.weights import fit_source
from tgdpo_core.store.folder import canonical_hash
from tgdpo_core.store.located import Located

Array = np.ndarray[Any, Any]
StoredValues = Sequence[torch.Tensor]
"""By row, [n] float32 each: the chosen response's values, then the rejected one's."""

_PAIRS_PER_CALL = 16


@dataclass(frozen=True)
class TokenizedRows:
    """Marked rows with their tokens; a row with one response has it as the chosen one."""

    rows: Sequence[MarkedRow]
    table: TokenTable


@dataclass(frozen=True)
class Reading:
    """How a policy reads marked rows.

    Attributes:
        max_length: tokens of prompt and response; the end of a longer response is cut.
        special_tokens: what special tokens in the text are.
        on_bad_row: what a row that no token is left of does.
    """

    max_length: int
    special_tokens: SpecialTokensInText
    on_bad_row: OnBadRow


def tokenize_rows(
    rows: Sequence[MarkedRow], tokenizer: Any, report: DataReport, reading: Reading
) -> TokenizedRows:
    """Return the rows as a policy reads them.

    Raises:
        DataError: rows that cannot be used, under ``on_bad_row: error``, or none left.
    """
    by_place = {row.where: row for row in rows}
    written = [_pair(row, report, reading) for row in rows]
    pairs = tokenize_pairs(written, tokenizer, LengthLimits(reading.max_length), report)
    require_usable(report, reading.on_bad_row)
    return TokenizedRows([by_place[pair.pair.where] for pair in pairs], ListedTokens(pairs))


def _pair(row: MarkedRow, report: DataReport, reading: Reading) -> PreferencePair:
    if row.gap:
        report.note("line_break_behind_prompt", row.where)
    texts = [response.text for response in row.responses]
    # Without a second response: an empty one, which is EOS alone and is not looked at.
    chosen, rejected = texts if row.is_pair else (texts[0], "")
    return PreferencePair(
        row.prompt + row.gap, chosen, rejected, row.where, special_tokens=reading.special_tokens
    )


@dataclass
class Rewards:
    """Scores sources on rows, each as it is and under further transforms.

    Attributes:
        rows: what is scored.
        scorer: of the policy and its reference; it fills the store.
        beta: the run's, for rewards that are proportional to it.
    """

    rows: TokenizedRows
    scorer: Scorer
    beta: float
    _reference: Located | None = field(default=None, init=False)

    def stored(self, source: RewardSource) -> tuple[StoredValues, str]:
        """Return the values of a source before its transforms, and the key of what decides them.

        A dynamic source is scored as if the policy were the reference.
        """
        if source.is_fitted:
            training_hash(source, self.scorer.training)  # an error: marked rows are none
        if source.is_dynamic:
            return self._at_the_reference(source), self._dynamic_key(source)
        if source.needs_reference:
            self._reference_logps()
        values = self.scorer.rewards(source, self.rows.table)
        return values, self.scorer.keys[f"token_reward:{source.name}"]

    def values(
        self,
        source: RewardSource,
        stored: StoredValues,
        extra: Sequence[tuple[str, Transform]] = (),
    ) -> Array:
        """Return [N] float64 rewards of all tokens after the source's transforms and others."""
        transformed = dataclasses.replace(source, transforms=[*source.transforms, *extra])
        table = self.rows.table
        fitted = fit_source(transformed, beta=self.beta, table=table, stored=stored)
        parts = [
            side
            for at, row in enumerate(self.rows.rows)
            for side in fitted.rewards(stored[at], table[at])[: len(row.responses)]
        ]
        return torch.cat(parts).double().numpy()

    def key(self, source: RewardSource, stored_key: str) -> str:
        """Return the content key of a reward: of its stored values, its scale, its transforms."""
        scale = call_plugin(str(source), "scale", source.reward.scale, self.beta)
        transforms = [[name, each.options()] for name, each in source.transforms]
        return canonical_hash({"values": stored_key, "scale": scale, "transforms": transforms})

    def _reference_logps(self) -> Located:
        if self._reference is None:
            self._reference = self.scorer.reference_logps(self.rows.table)
        return self._reference

    def _at_the_reference(self, source: RewardSource) -> list[torch.Tensor]:
        reference = self._reference_logps()
        settings = self.scorer.settings
        context = FrozenModels(
            self.scorer.tokenizer,
            device=settings.device,
            precision=settings.precision,
            trust=settings.trust,
            who=str(source),
            may_load=source.needs_models,
        )
        found: list[torch.Tensor] = []
        call_plugin(str(source), "setup", source.reward.setup, context)
        try:
            with stage(f"token_reward:{source.name}", len(self.rows.table), "pair") as bar:
                for start in range(0, len(self.rows.table), _PAIRS_PER_CALL):
                    rows = range(start, min(start + _PAIRS_PER_CALL, len(self.rows.table)))
                    logps = [reference[row] for row in rows]
                    shared: Mapping[str, Sequence[torch.Tensor]] = {
                        "policy_logps": logps,
                        "reference_logps": logps,
                    }
                    found += ask(source, [self.rows.table[row] for row in rows], shared)
                    bar.update(len(rows))
        finally:
            call_plugin(str(source), "teardown", source.reward.teardown)
            context.release()
        return found

    def _dynamic_key(self, source: RewardSource) -> str:
        document = call_plugin(str(source), "its fingerprint", source_document, source)
        return canonical_hash(
            {
                **document,
                "tokenizer": tokenizer_fingerprint(self.scorer.tokenizer),
                "reference": self.scorer.keys["reference_logps"],
            }
        )


def positions(lengths: Array) -> Array:
    """Return [N] float64: minus the relative position of each token in its response, 0 to -1."""
    return np.concatenate(
        [-np.arange(length) / max(1, length - 1) for length in lengths.tolist()] or [np.zeros(0)]
    )
