"""Instructions about format: lists, sections, JSON, titles, quotes, two answers."""

import json
import re

from tgdpo_plugins.judges.rules import parts
from tgdpo_plugins.judges.rules.findings import (
    FOLLOWED,
    Finding,
    broken,
    counted,
    has_or_missing,
    missing,
)

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")
_POSTSCRIPTS = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
_SEPARATOR = "******"


def number_placeholders(text: str, *, num_placeholders: int) -> Finding:
    """At least so many ``[placeholders]``."""
    return counted(parts.all_of(r"\[.*?\]", text), "at least", num_placeholders, text)


def postscript(text: str, *, postscript_marker: str) -> Finding:
    """A postscript with its mark."""
    marker = postscript_marker.strip()
    pattern = _POSTSCRIPTS.get(marker, rf"\s*{re.escape(marker.lower())}.*$")
    return has_or_missing(bool(re.search(pattern, text.lower(), re.MULTILINE)), text)


def number_bullet_lists(text: str, *, num_bullets: int) -> Finding:
    """Exactly so many points that begin with ``*`` or ``-``."""
    patterns = (r"^\s*\*[^\*].*$", r"^\s*-.*$")
    found = [s for each in patterns for s in parts.all_of(each, text, flags=re.MULTILINE)]
    return counted(sorted(found), "exactly", num_bullets, text)


def constrained_response(text: str) -> Finding:
    """One of IFEval's three answers is in it."""
    return FOLLOWED if any(option in text for option in _OPTIONS) else broken((0, len(text)))


def number_highlighted_sections(text: str, *, num_highlights: int) -> Finding:
    """At least so many ``*highlights*``."""
    found = [
        span
        for pattern in (r"\*[^\n\*]*\*", r"\*\*[^\n\*]*\*\*")
        for span in parts.all_of(pattern, text)
        if text[slice(*span)].strip("*").strip()
    ]
    return counted(found, "at least", num_highlights, text)


def multiple_sections(text: str, *, section_spliter: str, num_sections: int) -> Finding:
    """At least so many sections, each begun by its word and a number."""
    pattern = rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?"
    return counted(parts.all_of(pattern, text), "at least", num_sections, text)


def json_format(text: str) -> Finding:
    """All of it is JSON, or JSON in a fence."""
    value = text.strip()
    for fence in _FENCES:
        value = value.removeprefix(fence)
    value = value.removesuffix("```").strip()
    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        place = text.find(value) + error.pos
        return broken((place, place + 1)) if error.pos < len(value) else missing(text)
    except (ValueError, RecursionError):  # a number of too many digits, brackets nested too deeply
        return broken((0, len(text)))
    return FOLLOWED


def title(text: str) -> Finding:
    """A ``<<title>>``."""
    found = [text[slice(*span)] for span in parts.all_of(r"<<[^\n]+>>", text)]
    return has_or_missing(any(t.lstrip("<").rstrip(">").strip() for t in found), text)


def markdown_headings(text: str, *, num_headings: int, relation: str) -> Finding:
    """Lines that begin with one to six ``#`` and a space; not in IFEval."""
    found = parts.all_of(r"^ {0,3}#{1,6} +\S.*$", text, flags=re.MULTILINE)
    return counted(found, relation, num_headings, text)


def two_responses(text: str) -> Finding:
    """Two different answers with six asterisks between them."""
    pieces = parts.split_by(re.escape(_SEPARATOR), text)
    full = [piece for piece in pieces if text[slice(*piece)].strip()]
    blank = [piece for piece in pieces[1:-1] if not text[slice(*piece)].strip()]
    if blank:
        return broken(*((start - len(_SEPARATOR), start) for start, _ in blank))
    if len(full) == 2 and text[slice(*full[0])].strip() == text[slice(*full[1])].strip():
        return broken(full[1])
    return counted(full, "exactly", 2, text)


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> Finding:
    """The request, word for word, comes first."""
    wanted = prompt_to_repeat.strip().lower()
    if text.strip().lower().startswith(wanted):
        return FOLLOWED
    start = len(text) - len(text.lstrip())
    pairs = enumerate(zip(text[start:], wanted, strict=False))
    place = next((start + i for i, (a, b) in pairs if a.lower() != b), len(text))
    return broken((place, min(place + 1, len(text))))


def end_checker(text: str, *, end_phrase: str) -> Finding:
    """It ends with a phrase."""
    phrase = end_phrase.strip().lower()
    if text.strip().strip('"').lower().endswith(phrase):
        return FOLLOWED
    last = text.lower().rfind(phrase)
    behind = last + len(phrase)
    # Where lower case has as many characters, what follows the phrase is what breaks it.
    is_placed = last >= 0 and len(text.lower()) == len(text) and behind < len(text)
    return broken((behind, len(text))) if is_placed else missing(text)


def start_checker(text: str, *, start_phrase: str) -> Finding:
    """It begins with a phrase; not in IFEval."""
    phrase = start_phrase.strip().lower()
    if text.strip().strip('"').lower().startswith(phrase):
        return FOLLOWED
    first = parts.all_of(r"\S+", text)
    return broken(first[0] if first else (len(text), len(text)))


def quotation(text: str) -> Finding:
    """All of it stands in double quotes."""
    value = text.strip()
    start = len(text) - len(text.lstrip())
    spans = [] if value.startswith('"') else [(start, min(start + 1, len(text)))]
    if len(value) < 2 or not value.endswith('"'):
        spans.append((len(text), len(text)))
    return broken(*spans) if spans else FOLLOWED
