"""Character offsets of tokens: whether they can be trusted, and made anew where they cannot.

Some tokenizers give a token an empty range where it has text (Llama 3's did, tokenizers #1553).
"""

from typing import Any

import numpy as np

from tgdpo_core.data.token_bytes import byte_level_piece, match_pieces, sentencepiece_piece
from tgdpo_core.errors import DataError

_Array = np.ndarray[Any, Any]


def offsets_cover(offsets: _Array, text: str, tokenizer: Any) -> bool:
    """Return whether offsets are monotone and leave out nothing that the tokenizer reads.

    What they may leave out: white space (``trim_offsets``), and characters that the tokenizer
    drops, which give no token when encoded alone.

    Args:
        offsets: [T, 2] int64; special tokens that the tokenizer added are (0, 0).
        text: what was encoded.
        tokenizer: who encoded it.
    """
    starts, ends = offsets[offsets.any(1)].T
    if (ends < starts).any() or (np.diff(starts) < 0).any() or (np.diff(ends) < 0).any():
        return False
    if len(ends) and ends[-1] > len(text):
        return False
    firsts, nexts = np.append(0, ends), np.append(starts, len(text))
    gaps = np.flatnonzero(nexts > firsts)
    left_out = "".join(text[firsts[i] : nexts[i]] for i in gaps)
    return not left_out.strip() or not _is_read(left_out, tokenizer)


def _is_read(text: str, tokenizer: Any) -> bool:
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return bool(ids) and bool(tokenizer.decode(ids).strip())


def offsets_from_bytes(text: str, tokenizer: Any, *, add_special_tokens: bool) -> _Array:
    """Return [T, 2] int64 offsets made from the bytes that each token stands for.

    Two ways to write bytes are known: the byte table of byte-level BPE (GPT-2, Llama 3, Qwen), and
    SentencePiece's leading-space mark with byte-fallback tokens (``<0xE2>``).

    Raises:
        DataError: the tokens' bytes are not those of the text, in either way.
    """
    output = tokenizer(
        text,
        add_special_tokens=add_special_tokens,
        return_special_tokens_mask=True,
        verbose=False,
    )
    tokens = tokenizer.convert_ids_to_tokens(output["input_ids"])
    is_added = output["special_tokens_mask"]
    literal = tokenizer.get_added_vocab()
    for piece_of in (byte_level_piece, sentencepiece_piece):
        pieces = [
            b"" if added else token.encode() if token in literal else piece_of(token)
            for token, added in zip(tokens, is_added, strict=True)
        ]
        offsets = match_pieces(pieces, text)
        if offsets is not None:
            return offsets
    raise DataError(
        f"The tokenizer {type(tokenizer).__name__} of '{tokenizer.name_or_path}' gives character "
        f"offsets that leave out text, and the bytes of its tokens are not those of the text "
        f"either: {text[:60]!r} has the tokens {tokens[:8]}. So values cannot be aligned to "
        "characters. Update the tokenizers package, or use a tokenizer.json that gives offsets."
    )
