"""Instructions about case and language."""

import functools
import importlib.util

from tgdpo_plugins.judges.rules import parts
from tgdpo_plugins.judges.rules.findings import FOLLOWED, Finding, broken, counted

PACKAGE = "py3langid"
_LEAST_LETTERS = 20  # of a line whose language is looked at alone


def capital_word_frequency(text: str, *, capital_frequency: int, capital_relation: str) -> Finding:
    """Words in capital letters; the words are ours, IFEval asks NLTK."""
    found = [span for span in parts.spaced_words(text) if text[slice(*span)].isupper()]
    return counted(found, capital_relation, capital_frequency, text)


def english_capital(text: str) -> Finding:
    """English, in capital letters."""
    if text.isupper():
        return response_language(text, language="en")
    small = [s for s in parts.words(text) if any(char.islower() for char in text[slice(*s)])]
    return broken(*(small or [(0, len(text))]))


def english_lowercase(text: str) -> Finding:
    """English, without capital letters."""
    if text.islower():
        return response_language(text, language="en")
    large = [s for s in parts.words(text) if any(char.isupper() for char in text[slice(*s)])]
    return broken(*(large or [(0, len(text))]))


def response_language(text: str, *, language: str) -> Finding:
    """All of it is in a language; a text without letters is in every one.

    Raises:
        ValueError: py3langid is not installed.
    """
    wanted = _code(language)
    if not any(char.isalpha() for char in text) or _language(text) == wanted:
        return FOLLOWED
    lines = [
        span
        for span in parts.lines(text)
        if sum(char.isalpha() for char in text[slice(*span)]) >= _LEAST_LETTERS
        and _language(text[slice(*span)]) != wanted
    ]
    return broken(*(lines or [(0, len(text))]))


def require_package() -> None:
    """Raise ``ValueError`` if languages cannot be told."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise ValueError(
            f"{PACKAGE}, which tells languages, is not installed: pip install 'tgdpo[rules]'"
        )


def require_known_language(language: str) -> None:
    """Raise ``ValueError`` for a code that no text would be told to have.

    Without the package nothing is known; ``require_package`` says so before a text is judged.
    """
    if importlib.util.find_spec(PACKAGE) is None or _code(language) in _known_languages():
        return
    raise ValueError(
        f"language must be a code that {PACKAGE} knows, found {language!r}. Known are "
        f"{', '.join(sorted(_known_languages()))}; what follows a hyphen (zh-cn) is not told apart"
    )


def _code(language: str) -> str:
    return language.strip().lower().split("-")[0]


@functools.cache
def _known_languages() -> frozenset[str]:
    import py3langid

    return frozenset(str(code) for code, _ in py3langid.rank("a"))


def _language(text: str) -> str:
    require_package()
    import py3langid

    code, _ = py3langid.classify(text.lower())
    return str(code)
