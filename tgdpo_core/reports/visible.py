"""Text of data and plugins, made safe and visible: what cannot be seen is shown as its escape."""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Literal

from tgdpo_core.environment_secrets import without_secrets

Kind = Literal["text", "space", "newline", "escape", "special", "shared"]

SPACE, NEWLINE, TAB, SHARED = "·", "⏎", "⇥", "…"

# Controls, formats (bidirectional marks, zero width), surrogates, unassigned, private, and the
# separators other than the plain space.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"))


@dataclass(frozen=True)
class Piece:
    """A part of a token's text: as written, or a sign that stands for something.

    Attributes:
        text: what is shown.
        kind: ``text``; ``space``, ``newline`` or ``escape`` for a sign in place of characters;
            ``special`` for the name of a token without text (EOS); ``shared`` for a token inside a
            character that an earlier token shows.
    """

    text: str
    kind: Kind = "text"


def escaped(text: str) -> str:
    """Return text in which every invisible character but space, newline and tab is an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in " \n\t" else _shown(c) for c in text)


def printable(text: str) -> str:
    """Return text as a terminal or a log may show it: escapes, and no secret of the environment."""
    return escaped(without_secrets(text))


def pieces(text: str) -> list[Piece]:
    """Return the parts of a token's text: white space as signs, the invisible as escapes."""
    return list(_pieces(text))


@functools.lru_cache(10_000)  # a data set has few different tokens
def _pieces(text: str) -> tuple[Piece, ...]:
    result: list[Piece] = []
    for char in text:
        piece = _piece(char)
        if result and piece.kind == result[-1].kind == "text":
            result[-1] = Piece(result[-1].text + char)
        else:
            result.append(piece)
    return tuple(result)


def _piece(char: str) -> Piece:
    if char == " ":
        return Piece(SPACE, "space")
    if char == "\n":
        return Piece(NEWLINE, "newline")
    if char == "\t":
        return Piece(TAB, "space")
    shown = _shown(char)
    return Piece(shown, "text" if shown == char else "escape")


def _shown(char: str) -> str:
    if char == " " or unicodedata.category(char) not in _INVISIBLE:
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
