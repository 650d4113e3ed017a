"""Words, sentences and other parts of a text, with their places."""

import re

Span = tuple[int, int]

_WORD = re.compile(r"\w+")
_SPACED = re.compile(r"\S+")
_EDGES = "\"'“”‘’«»()[]{}<>*_`.,;:!?…"  # noqa: RUF001
_ENDS = re.compile(
    r"[.!?…]+[\"'”’»)\]*_]*(?=\s|$)"  # noqa: RUF001
    r"|[。！？]+[」』”]*|\n\s*\n"  # noqa: RUF001
)
# What a name, a number or an example follows; others, such as etc., may end a sentence.
_TITLES = "mr mrs ms dr prof st sr jr gen col lt capt sgt rev hon gov sen rep"
_OTHERS = "vs e.g i.e cf fig vol pp approx jan feb aug sept oct nov dec"
_ABBREVIATIONS = frozenset(f"{_TITLES} {_OTHERS}".split())


def words(text: str) -> list[Span]:
    """Return runs of letters, digits and underscores: the words of IFEval's counts."""
    return [match.span() for match in _WORD.finditer(text)]


def spaced_words(text: str) -> list[Span]:
    """Return what stands between white space, without marks around it; hyphens stay."""
    found = []
    for match in _SPACED.finditer(text):
        start = match.start() + len(match[0]) - len(match[0].lstrip(_EDGES))
        core = match[0].strip(_EDGES)
        if core:
            found.append((start, start + len(core)))
    return found


def sentences(text: str) -> list[Span]:
    """Return sentences: they end with ``. ! ?`` before white space, or with an empty line.

    A full stop behind a common abbreviation or a single letter ends none, nor does one that a
    lower-case letter follows.
    """
    found, start = [], 0
    for match in _ENDS.finditer(text):
        if _ends_nothing(text, match):
            continue
        found.append((start, match.end()))
        start = match.end()
    found.append((start, len(text)))
    stripped = [_stripped(text, span) for span in found]
    return [(a, b) for a, b in stripped if any(char.isalnum() for char in text[a:b])]


def _ends_nothing(text: str, match: "re.Match[str]") -> bool:
    if not match[0].startswith(".") or match[0].startswith(".."):
        return False
    before = re.search(r"[\w.]+\Z", text[: match.start()])
    word = before[0].lower() if before else ""
    after = text[match.end() :].lstrip(" \t")[:1]
    is_initial = len(word) == 1 and word != "i" and text[match.start() - 1].isupper()
    return after != "" and (after.islower() or word in _ABBREVIATIONS or is_initial)


def lines(text: str) -> list[Span]:
    """Return lines that are not blank, without the break at their end."""
    return [m.span() for m in re.finditer(r"^.*\S.*$", text, flags=re.MULTILINE)]


def split_by(pattern: str, text: str) -> list[Span]:
    """Return the pieces that ``re.split`` gives, blank ones included."""
    found, start = [], 0
    for match in re.finditer(pattern, text):
        found.append((start, match.start()))
        start = match.end()
    return [*found, (start, len(text))]


def all_of(pattern: str, text: str, *, flags: int = 0) -> list[Span]:
    """Return where a pattern matches."""
    return [match.span() for match in re.finditer(pattern, text, flags=flags)]


def _stripped(text: str, span: Span) -> Span:
    piece = text[slice(*span)]
    start = span[0] + len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())
