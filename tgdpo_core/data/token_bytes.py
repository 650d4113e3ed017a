"""The bytes that a token's string stands for, and where in a text they are."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE_MARK = "\u2581"


@functools.cache
def byte_table() -> dict[str, int]:
    """Return the byte of every character that byte-level BPE writes tokens with.

    Printable Latin-1 stands for itself, every other byte for the next code point from 256 on.

    Source: ``bytes_to_unicode`` of GPT-2.
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


def byte_level_piece(token: str) -> bytes | None:
    """Return a byte-level token's bytes, or None if it is not written in the byte table."""
    table = byte_table()
    if any(char not in table for char in token):
        return None
    return bytes(table[char] for char in token)


def sentencepiece_piece(token: str) -> bytes:
    """Return a SentencePiece token's bytes; ``<0xE2>`` is one byte, a leading mark is a space."""
    fallback = _FALLBACK.fullmatch(token)
    if fallback:
        return bytes([int(fallback[1], 16)])
    return token.replace(_SPACE_MARK, " ").encode()


def match_pieces(pieces: Sequence[bytes | None], text: str) -> np.ndarray[Any, Any] | None:
    """Return [T, 2] int64 character ranges of pieces that follow one another in a text.

    A piece may have one space more in front than the text has (the one tokenizers prepend), and
    the text may have white space between pieces that no piece holds.

    Returns:
        None if a piece is unknown or not there, or text is left at the end.
    """
    data = text.encode("utf-8", "surrogatepass")
    starts, ends, reached = [], [], 0
    for piece in pieces:
        found = None if piece is None else _find(piece, data, reached)
        if found is None:
            return None
        starts.append(found[0])
        ends.append(found[1])
        reached = found[1]
    if data[reached:].strip():
        return None
    is_first = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(is_first)])  # characters that begin before a byte
    at, end = np.array(starts, np.int64), np.array(ends, np.int64)
    # A range that begins inside a character begins with that character.
    inside = (at < end) & ~np.append(is_first, True)[at]
    return np.stack([before[at] - inside, before[end]], 1).reshape(-1, 2)


def _find(piece: bytes, data: bytes, reached: int) -> tuple[int, int] | None:
    """Return first and one-past-last byte of a piece: here, without its space, or after space."""
    blank = len(data) - len(data[reached:].lstrip())
    for start in (reached, blank):
        for form in (piece, piece.removeprefix(b" ")):
            if data.startswith(form, start):
                return start, start + len(form)
    return None
