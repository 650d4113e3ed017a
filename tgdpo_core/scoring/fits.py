"""Whether a model has a position and a vector for every token of a table."""

from typing import Any

import numpy as np

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import DataError
from tgdpo_core.models.checks import embedding_rows, require_ids


def require_fit(model: Any, table: TokenTable, tokenizer: Any, who: str) -> None:
    """Raise if a model has no position or no vector for a token of the pairs.

    Raises:
        DataError: a sequence has more tokens than the model has positions.
        UsageError: a token id is beyond the embedding.
    """
    require_positions(model, table)
    require_known_ids(model, table, tokenizer, who=who)


def require_positions(model: Any, table: TokenTable) -> None:
    """Raise ``DataError`` if a sequence has more tokens than the model has positions."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not limit:
        return
    for row in np.flatnonzero(table.counts.longest > limit).tolist():
        raise DataError(
            f"{table[row].pair.where}: prompt and response have {table.counts.longest[row]} "
            f"tokens, the model has {limit} positions. Set data.max_length to {limit} or less."
        )


def require_known_ids(model: Any, table: TokenTable, tokenizer: Any, *, who: str) -> None:
    """Raise ``UsageError`` for a token id that the model has no vector for."""
    unknown = np.flatnonzero(table.highest_ids >= embedding_rows(model))
    for row in unknown[:1].tolist():
        require_ids(
            model, [(table[row].pair.where, [int(table.highest_ids[row])])], tokenizer, who=who
        )
