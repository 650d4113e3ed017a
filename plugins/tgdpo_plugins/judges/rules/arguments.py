"""What the arguments of an instruction may be; a wrong one is refused by its name.

Also refused is what no answer could follow, since all of them would count 0 for it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tgdpo_plugins.judges.rules.casing import require_known_language
from tgdpo_plugins.judges.rules.findings import RELATIONS
from tgdpo_plugins.judges.rules.lengths import END_OF_WORD, as_first_word

_KINDS: Mapping[Any, tuple[type, ...]] = {int: (int,), str: (str,), Sequence[str]: (list, tuple)}
_LEAST = {"num_paragraphs": 1, "nth_paragraph": 1}


def wanted_arguments(check: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments of a check with their types."""
    found = inspect.signature(check).parameters
    return {key: p.annotation for key, p in found.items() if p.kind is p.KEYWORD_ONLY}


def require_fit(arguments: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for an argument that a check has no use for.

    Args:
        arguments: of an instruction, all that its check has.
        kinds: their types.

    Raises:
        ValueError: one of another type, blank or negative, an unknown relation or language, or
            arguments that no answer can follow together; argument, value and what is allowed are
            named.
    """
    for argument, value in arguments.items():
        allowed = _of_another_kind(argument, value, kinds[argument]) or _unfit_text(argument, value)
        if allowed:
            raise ValueError(f"{argument} must be {allowed}, found {value!r}")
    if "language" in arguments:
        require_known_language(arguments["language"])
    _require_possible(arguments, kinds)


def _of_another_kind(argument: str, value: Any, kind: Any) -> str | None:
    """Return what is allowed where a value is of another kind; None where it fits."""
    fits = isinstance(value, _KINDS[kind]) and not isinstance(value, bool)
    if kind is int:
        least = _LEAST.get(argument, 0)
        return None if fits and value >= least else f"a whole number from {least}"
    if kind is str:
        return None if fits and value.strip() else "text that is not blank"
    fits = fits and bool(value) and all(isinstance(each, str) and each.strip() for each in value)
    return None if fits else "a list of texts, at least one and none of them blank"


def _unfit_text(argument: str, value: Any) -> str | None:
    """Return what is allowed where a text has a form that nothing can match; None where it fits."""
    if argument.endswith("relation"):
        return None if value in RELATIONS else f"one of {', '.join(RELATIONS)}"
    if argument == "letter":
        return None if len(value.strip()) == 1 else "one character"
    if argument == "first_word" and (
        value.split() != [value] or as_first_word(value) != value.lower()
    ):
        return f"one word, without white space and without {' '.join(END_OF_WORD)}"
    # Quotes around an answer are taken off before it is compared.
    if argument == "end_phrase" and value.strip().endswith('"'):
        return "text that does not end with a double quote"
    if argument == "start_phrase" and value.strip().startswith('"'):
        return "text that does not begin with a double quote"
    return None


def _require_possible(arguments: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    number = arguments.get("num_paragraphs", 0)
    place = arguments.get("nth_paragraph", 0)
    if place > number:
        raise ValueError(
            f"nth_paragraph must be a whole number from 1 to num_paragraphs={number}, found {place}"
        )
    relation = next((name for name in kinds if name.endswith("relation")), None)
    count = next((name for name, kind in kinds.items() if kind is int), None)
    if relation and count and (arguments[relation], arguments[count]) == ("less than", 0):
        raise ValueError(
            f"{count} must be above 0 where {relation} is 'less than', found 0: no answer has less "
            "than nothing. Write 'at most' for none"
        )
