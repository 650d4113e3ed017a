"""Pairs with their token ids as a table: memory-mapped columns, one pair made when asked for.

prompt, chosen, rejected                int32 token ids
chosen_offsets, rejected_offsets        int32 character ranges, start and end in turn
chosen_text, rejected_text              what the ids cover
chosen_full, rejected_full              tokens before truncation
ids_hash, text_hash                     16 bytes: the ids; everything else a plugin may read
changes, problem_kind, problem          what was done to the row, or why it cannot be used
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.data.mapped_columns import MappedColumns
from tgdpo_core.data.pairs import PreferencePair, TokenizedPair, TokenizedResponse, text_hash
from tgdpo_core.errors import StoreError
from tgdpo_core.plugin_api.rewards import Side

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of each pair's prompt, chosen and rejected response, [P] int64 each."""

    prompt: Array
    chosen: Array
    rejected: Array

    @property
    def responses(self) -> Array:
        """Length of each pair's flat per-token vectors."""
        return self.chosen + self.rejected

    @property
    def shared(self) -> Array:
        """Positions of each pair in a row that holds the prompt once."""
        return self.prompt + self.chosen + self.rejected

    @property
    def longest(self) -> Array:
        """Positions of prompt and longer response."""
        return self.prompt + np.maximum(self.chosen, self.rejected)


class TokenTable(Sequence[TokenizedPair]):
    """Pairs with token ids.

    Attributes:
        counts: how many tokens.
        ids_hashes: [P, 16] uint8, what names the token ids of each pair.
        text_hashes: [P, 16] uint8, what names all else of it that a plugin may read.
        highest_ids: [P] int64, the highest token id of each pair.
    """

    counts: TokenCounts
    ids_hashes: Array
    text_hashes: Array
    highest_ids: Array

    def __len__(self) -> int:
        return len(self.ids_hashes)

    @abstractmethod
    def __getitem__(self, row: Any) -> Any:
        """Return the pair of a row."""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> "TokenTable":
        """Return the table of some rows."""


class ListedTokens(TokenTable):
    """Tokenized pairs that are in memory anyway."""

    def __init__(self, pairs: Sequence[TokenizedPair]) -> None:
        self._pairs = pairs
        self.counts = TokenCounts(
            np.array([len(p.prompt_ids) for p in pairs], np.int64),
            np.array([len(p.chosen.ids) for p in pairs], np.int64),
            np.array([len(p.rejected.ids) for p in pairs], np.int64),
        )
        self.ids_hashes = _hashes([p.ids_hash() for p in pairs])
        self.text_hashes = _hashes([text_hash(p) for p in pairs])
        self.highest_ids = np.array([highest_id(p) for p in pairs], np.int64)

    def __getitem__(self, row: Any) -> Any:
        """Return the pair of a row."""
        return self._pairs[row]

    def take(self, rows: Sequence[int]) -> TokenTable:
        """Return the table of some rows."""
        return ListedTokens([self._pairs[row] for row in rows])


class MappedTokens(TokenTable):
    """Tokenized pairs on disk.

    Args:
        pairs: the pairs as written, one for each row of the columns.
        columns: see the module.
        rows: the rows of the columns that are used, in order.
        where: names the table's files, for messages.
    """

    def __init__(
        self, pairs: Sequence[PreferencePair], columns: MappedColumns, rows: Array, where: Path
    ) -> None:
        self._pairs = pairs
        self._columns = columns
        self._rows = rows
        self._where = where
        names = ("prompt", "chosen", "rejected")
        self.counts = TokenCounts(*(columns.list_lengths(name)[rows] for name in names))
        self.ids_hashes = columns.hashes("ids_hash")[rows]
        self.text_hashes = columns.hashes("text_hash")[rows]
        self.highest_ids = columns.numbers("highest_id")[rows]

    def __getitem__(self, row: Any) -> Any:
        """Return the pair of a row, or a list of pairs for a slice.

        Raises:
            StoreError: the file is damaged.
        """
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        at = int(self._rows[row])
        pair = TokenizedPair(
            self._pairs[at],
            self._columns.list("prompt", at).astype(np.int64),
            self._response("chosen", at),
            self._response("rejected", at),
        )
        if pair.ids_hash() != self.ids_hashes[row].tobytes():
            raise StoreError(
                f"{self._where} is damaged (row {at}). Remove that folder: it is made again."
            )
        return pair

    def take(self, rows: Sequence[int]) -> TokenTable:
        """Return the table of some rows."""
        chosen = self._rows[np.asarray(rows, np.int64)]
        return MappedTokens(self._pairs, self._columns, chosen, self._where)

    def _response(self, side: Side, at: int) -> TokenizedResponse:
        offsets = self._columns.list(f"{side}_offsets", at).astype(np.int64)
        return TokenizedResponse(
            ids=self._columns.list(side, at).astype(np.int64),
            offsets=offsets.reshape(-1, 2),
            text=self._columns.value(f"{side}_text", at),
            num_untruncated=self._columns.value(f"{side}_full", at),
        )


def column_values(pair: TokenizedPair) -> Mapping[str, Any]:
    """Return a pair's row of the table."""
    return {
        "prompt": pair.prompt_ids.astype(np.int32),
        "chosen": pair.chosen.ids.astype(np.int32),
        "rejected": pair.rejected.ids.astype(np.int32),
        "chosen_offsets": pair.chosen.offsets.reshape(-1).astype(np.int32),
        "rejected_offsets": pair.rejected.offsets.reshape(-1).astype(np.int32),
        "chosen_text": pair.chosen.text,
        "rejected_text": pair.rejected.text,
        "chosen_full": pair.chosen.num_untruncated,
        "rejected_full": pair.rejected.num_untruncated,
        "ids_hash": pair.ids_hash(),
        "text_hash": text_hash(pair),
        "highest_id": highest_id(pair),
    }


def highest_id(pair: TokenizedPair) -> int:
    """Return the highest token id of a pair."""
    parts = (pair.prompt_ids, pair.chosen.ids, pair.rejected.ids)
    return max(int(ids.max(initial=-1)) for ids in parts)


def _hashes(values: Sequence[bytes]) -> Array:
    joined = b"".join(value.ljust(16, b"\0") for value in values)
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)
