"""A list of words with values: read from a file, found in texts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tgdpo_plugins.judges.lexicon.word_lines import entries

Hit = tuple[int, int, float]
"""First character, one past the last, value."""

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")  # noqa: RUF001
_APOSTROPHE = str.maketrans("’", "'")  # noqa: RUF001


@dataclass(frozen=True)
class WordList:
    """Words and phrases with their values.

    Attributes:
        values: by entry, its words joined by one space.
        beginnings: values of entries that ended with ``*``: words that begin so.
        marks: matches entries that are no words, such as emoticons; None without any.
        most_words: of an entry.
        keeps_case: whether letters must have the entry's case.
    """

    values: Mapping[str, float]
    beginnings: Mapping[str, float]
    marks: re.Pattern[str] | None
    most_words: int
    keeps_case: bool

    def hits(self, text: str) -> list[Hit]:
        """Return the entries in a text, in order; of several at a place the longest."""
        marks = list(self._mark_hits(text))
        inside = {place for start, end, _ in marks for place in range(start, end)}
        return sorted([*marks, *(hit for hit in self._phrases(text) if hit[0] not in inside)])

    def num_words(self, text: str) -> int:
        """Return how many words a text has, those that are in no list included."""
        return sum(1 for _ in WORD.finditer(text))

    def _phrases(self, text: str) -> Iterator[Hit]:
        words = [(m.start(), m.end(), self._normal(m[0])) for m in WORD.finditer(text)]
        position = 0
        while position < len(words):
            length, value = self._longest(words, position, text)
            if length:
                yield words[position][0], words[position + length - 1][1], value
            position += max(1, length)

    def _longest(
        self, words: list[tuple[int, int, str]], position: int, text: str
    ) -> tuple[int, float]:
        """Return number of words and value of the longest entry that begins at a word."""
        for length in range(min(self.most_words, len(words) - position), 0, -1):
            some = words[position : position + length]
            gaps = pairwise(some)
            if all(text[a[1] : b[0]].isspace() for a, b in gaps):
                value = self.values.get(" ".join(word for _, _, word in some))
                if value is not None:
                    return length, value
        word = words[position][2]
        lengths = range(len(word), 0, -1) if self.beginnings else ()
        found = (self.beginnings[word[:n]] for n in lengths if word[:n] in self.beginnings)
        value = next(found, None)
        return (0, 0.0) if value is None else (1, value)

    def _mark_hits(self, text: str) -> Iterator[Hit]:
        for match in self.marks.finditer(text) if self.marks else ():
            yield match.start(), match.end(), self.values[self._normal(match[0])]

    def _normal(self, word: str) -> str:
        word = word.translate(_APOSTROPHE)
        return word if self.keeps_case else word.lower()


def read_word_list(path: str, *, value: float | None, keeps_case: bool) -> WordList:
    """Return the list in a file.

    A line is ``word<TAB>value`` (AFINN, VADER), ``word,value`` (in a file ``.csv``), or a word
    alone; further columns are not read. Lines that begin with ``#`` or ``;`` and have no value are
    remarks. The first line may be a header, see ``word_lines.entries``.

    Args:
        path: of the file, UTF-8.
        value: of words that stand alone; None: every word has its own.
        keeps_case: whether letters must have the entry's case.

    Raises:
        ValueError: it cannot be read; a line has no value, no finite one, or one that another line
            contradicts; file and line are named.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"word list {path}: {error}") from error
    values: dict[str, float] = {}
    for where, entry, number in entries(path, text, value=value):
        key = " ".join(entry.translate(_APOSTROPHE).split())
        key = key if keeps_case else key.lower()
        if values.setdefault(key, number) != number:
            raise ValueError(
                f"{where}: '{entry}' has the value {number:g}, and {values[key]:g} further above"
                + ("" if keeps_case else " (letters in any case count as one: case=true)")
            )
    if not values:
        raise ValueError(f"word list {path} has no words")
    return _listed(values, keeps_case)


def _listed(values: dict[str, float], keeps_case: bool) -> WordList:
    beginnings = {
        k[:-1]: v for k, v in values.items() if k.endswith("*") and WORD.fullmatch(k[:-1])
    }
    plain = {k: v for k, v in values.items() if k[:-1] not in beginnings or not k.endswith("*")}
    marks = [k for k in plain if not all(WORD.fullmatch(word) for word in k.split(" "))]
    pattern = None
    if marks:
        # Not inside a word or a longer mark: ":/" is none in "https://".
        parts = (_whole(each) for each in sorted(marks, key=len, reverse=True))
        pattern = re.compile("|".join(parts), 0 if keeps_case else re.IGNORECASE)
    most = max(len(k.split(" ")) for k in values)
    return WordList(plain, beginnings, pattern, most, keeps_case)


def _whole(mark: str) -> str:
    """Return a pattern of a mark that no word or longer mark holds; emoji may stand anywhere."""
    if not mark.isascii():
        return re.escape(mark)
    before = r"(?<!\w)" if mark[0].isalnum() else r"(?<![^\s\w])"
    return before + re.escape(mark) + r"(?!\w)"
