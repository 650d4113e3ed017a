"""The token rewards of a plugin for rows of a table: asked for, checked, asked for again."""

from collections.abc import Callable, Mapping, Sequence

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.distribution import by_token, named_values
from tgdpo_core.scoring.passes import ask
from tgdpo_core.scoring.repeatability import Repeatability, is_same
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.located import Located


class TokenRewards:
    """Asks a reward plugin about rows, checks its answers and joins the two sides.

    The first batch is asked twice; a few rows are asked again at the end (``finish``).

    Args:
        source: the plugin, set up before the first call.
        table: the pairs.
        reference: stored reference log-probs by row, read if the plugin needs them.
        quantities: stored values of the reference's distribution by row, by quantity.
        collection: where the answers go.
        dtype: returns the format in which the plugin's models compute, once it is set up.
    """

    def __init__(
        self,
        source: RewardSource,
        table: TokenTable,
        reference: Located,
        quantities: Mapping[str, Located],
        collection: Collection,
        dtype: Callable[[], torch.dtype],
    ) -> None:
        self._source, self._table, self._dtype = source, table, dtype
        self._collection = collection
        self._reference, self._quantities = reference, quantities
        self._is_first = True
        self._kept = Repeatability(self.answers, self._require_same, collection, dtype)

    def __call__(self, rows: Sequence[int]) -> Sequence[torch.Tensor]:
        """Return what the plugin says of rows, [n] float32 each."""
        values = self.answers(rows)
        if self._is_first:
            self._require_same(rows, values, self.answers(rows))
            self._is_first = False
        self._kept.note(rows, values)
        return values

    def finish(self) -> None:
        """Ask about a few rows again, and keep how far rounding moves the values of models.

        Raises:
            PluginError: an answer differs.
        """
        self._kept.check()
        if self._source.needs_models and (rounding := self._kept.rounding()):
            rounding.keep(self._collection.folder)

    def answers(self, rows: Sequence[int]) -> Sequence[torch.Tensor]:
        """Return what the plugin says of rows, asked once."""
        pairs = [self._table[row] for row in rows]
        shared = {}
        if self._source.needs_reference:
            shared["reference_logps"] = [self._reference[row] for row in rows]
        for need in self._source.reference_values:
            shared |= self._of_reference(need, rows, pairs)
        return ask(self._source, pairs, shared)

    def _of_reference(
        self, need: str, rows: Sequence[int], pairs: Sequence[TokenizedPair]
    ) -> dict[str, list[torch.Tensor]]:
        """Return stored values of the reference's distribution by their names in ``shared``."""
        of_policy = need.replace("reference_", "policy_", 1)
        stored = self._quantities[of_policy]
        named = [
            named_values(of_policy, by_token(stored[row], pair.num_response_tokens))
            for row, pair in zip(rows, pairs, strict=True)
        ]
        return {
            name.replace("policy_", "reference_", 1): [values[name] for values in named]
            for name in named[0]
        }

    def _require_same(
        self, rows: Sequence[int], once: Sequence[torch.Tensor], twice: Sequence[torch.Tensor]
    ) -> None:
        _require_same(self._source, [self._table[row] for row in rows], once, twice, self._dtype())


def _require_same(
    source: RewardSource,
    pairs: Sequence[TokenizedPair],
    once: Sequence[torch.Tensor],
    twice: Sequence[torch.Tensor],
    dtype: torch.dtype,
) -> None:
    """Raise ``PluginError`` if the same question got another answer: it would be luck."""
    for pair, a, b in zip(pairs, once, twice, strict=True):
        if not is_same(a, b, dtype):
            t = int((a - b).abs().argmax())
            raise PluginError(
                f"{source}, {pair.pair.where}: asked twice, it gave {a[t]:.6g} and {b[t]:.6g} for "
                f"the same token ({t}). Values are stored and must be repeatable: seed noise with "
                "example.uid, switch dropout off. A reward that follows the policy is dynamic."
            )
