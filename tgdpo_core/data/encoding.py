"""Texts to token ids with the character ranges of the tokens."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.offsets import offsets_cover, offsets_from_bytes
from tgdpo_core.errors import DataError

_Array = np.ndarray[Any, Any]


class EncodedText(NamedTuple):
    """A text with its token ids [T] int64 and their character ranges [T, 2] int64."""

    text: str
    ids: _Array
    offsets: _Array


def check_tokenizer(tokenizer: Any) -> None:
    """Raise ``DataError`` for a tokenizer without character offsets or without an EOS token."""
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            f"The tokenizer {type(tokenizer).__name__} gives no character offsets. "
            "Use a fast one: a model folder with tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer has no EOS token, so a response would have no end. "
            "Set eos_token in its tokenizer_config.json."
        )


def encode_texts(
    texts: Sequence[str], tokenizer: Any, *, add_special_tokens: bool
) -> list[EncodedText]:
    """Return texts with ids and offsets that are known to cover them.

    Raises:
        DataError: offsets that leave out text and cannot be made from the tokens' bytes.
    """
    if not texts:
        return []
    output = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        return_offsets_mapping=True,
        verbose=False,
    )
    encoded = []
    for text, ids, found in zip(texts, output["input_ids"], output["offset_mapping"], strict=True):
        offsets = np.asarray(found, np.int64).reshape(-1, 2)
        if not offsets_cover(offsets, text, tokenizer):
            offsets = offsets_from_bytes(text, tokenizer, add_special_tokens=add_special_tokens)
        encoded.append(EncodedText(text, np.asarray(ids, np.int64), offsets))
    return encoded
