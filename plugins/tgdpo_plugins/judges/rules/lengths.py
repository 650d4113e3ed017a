"""Instructions about length: words, sentences, paragraphs, characters."""

from tgdpo_plugins.judges.rules import parts
from tgdpo_plugins.judges.rules.findings import Finding, broken, counted, missing

END_OF_WORD = ".,?!'\""
"""Marks that end the first word of a paragraph, as IFEval reads it."""


def number_words(text: str, *, num_words: int, relation: str) -> Finding:
    """Words, as IFEval counts them."""
    return counted(parts.words(text), relation, num_words, text)


def number_sentences(text: str, *, num_sentences: int, relation: str) -> Finding:
    """Sentences; the rules are ours, IFEval asks NLTK."""
    return counted(parts.sentences(text), relation, num_sentences, text)


def number_characters(text: str, *, num_characters: int, relation: str) -> Finding:
    """Characters, white space included; not in IFEval."""
    characters = [(i, i + 1) for i in range(len(text))]
    found = counted(characters, relation, num_characters, text)
    return broken((found.spans[0][0], found.spans[-1][1])) if found.spans else found


def number_paragraphs(text: str, *, num_paragraphs: int) -> Finding:
    """Paragraphs between ``***`` marks; blank ones only at the ends."""
    pieces = parts.split_by(r"\s?\*\*\*\s?", text)
    inner = [p for p in pieces[1:-1] if not text[slice(*p)].strip()]
    if inner:
        return broken(*(_seen(text, piece) for piece in inner))
    full = [piece for piece in pieces if text[slice(*piece)].strip()]
    return counted(full, "exactly", num_paragraphs, text)


def nth_paragraph_first_word(
    text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> Finding:
    """Paragraphs between empty lines, one of which begins with a word."""
    pieces = parts.split_by("\n\n", text)
    full = [piece for piece in pieces if text[slice(*piece)].strip()]
    if nth_paragraph > len(full):
        return missing(text)
    # As IFEval does, blank pieces are counted where the paragraph is looked up.
    start, end = pieces[nth_paragraph - 1]
    if not text[start:end].strip():
        return broken(_seen(text, (start, end)))
    first = parts.all_of(r"\S+", text[start:end])[0]
    place = (start + first[0], start + first[1])
    if as_first_word(text[slice(*place)]) != first_word.lower():
        return broken(place)
    return counted(full, "exactly", num_paragraphs, text)


def as_first_word(word: str) -> str:
    """Return a word up to its first mark, without quotes in front, in lower case."""
    word = word.lstrip("'").lstrip('"')
    end = next((i for i, letter in enumerate(word) if letter in END_OF_WORD), len(word))
    return word[:end].lower()


def _seen(text: str, span: parts.Span) -> parts.Span:
    """Return a span of at least one character, where the text has one there."""
    start, end = span
    return (start, max(end, min(start + 1, len(text))))
