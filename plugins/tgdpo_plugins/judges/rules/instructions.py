"""The instructions by name: IFEval's twenty-five, and three of ours; read from rows and options."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tgdpo_plugins.judges.rules import casing, formats, keywords, lengths
from tgdpo_plugins.judges.rules.arguments import require_fit, wanted_arguments
from tgdpo_plugins.judges.rules.findings import Finding, missing

Check = Callable[..., Finding]

CHECKS: Mapping[str, Check] = {
    "keywords:existence": keywords.existence,
    "keywords:frequency": keywords.frequency,
    "keywords:forbidden_words": keywords.forbidden_words,
    "keywords:letter_frequency": keywords.letter_frequency,
    "language:response_language": casing.response_language,
    "length_constraints:number_sentences": lengths.number_sentences,
    "length_constraints:number_paragraphs": lengths.number_paragraphs,
    "length_constraints:number_words": lengths.number_words,
    "length_constraints:number_characters": lengths.number_characters,
    "length_constraints:nth_paragraph_first_word": lengths.nth_paragraph_first_word,
    "detectable_content:number_placeholders": formats.number_placeholders,
    "detectable_content:postscript": formats.postscript,
    "detectable_format:number_bullet_lists": formats.number_bullet_lists,
    "detectable_format:constrained_response": formats.constrained_response,
    "detectable_format:number_highlighted_sections": formats.number_highlighted_sections,
    "detectable_format:multiple_sections": formats.multiple_sections,
    "detectable_format:json_format": formats.json_format,
    "detectable_format:title": formats.title,
    "detectable_format:markdown_headings": formats.markdown_headings,
    "combination:two_responses": formats.two_responses,
    "combination:repeat_prompt": formats.repeat_prompt,
    "startend:end_checker": formats.end_checker,
    "startend:start_checker": formats.start_checker,
    "startend:quotation": formats.quotation,
    "change_case:capital_word_frequency": casing.capital_word_frequency,
    "change_case:english_capital": casing.english_capital,
    "change_case:english_lowercase": casing.english_lowercase,
    "punctuation:no_comma": keywords.no_comma,
}
NOT_IN_IFEVAL = (
    "length_constraints:number_characters",
    "detectable_format:markdown_headings",
    "startend:start_checker",
)
_OF_LANGUAGE = ("language:", "change_case:english")
_NUM_SHOWN = 60  # characters of a value in messages


@dataclass(frozen=True)
class Instruction:
    """An instruction with its numbers and words.

    Attributes:
        id: its name.
        arguments: what its check needs.
    """

    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown name, and arguments that its check does not have, or not so."""
        if self.id not in CHECKS:
            near = get_close_matches(self.id, CHECKS, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(CHECKS)}"
            raise ValueError(f"unknown instruction '{self.id}': {hint}")
        wanted = wanted_arguments(CHECKS[self.id])
        unknown = [name for name in self.arguments if name not in wanted]
        lacking = [name for name in wanted if name not in self.arguments]
        if unknown or lacking:
            raise ValueError(
                f"instruction '{self.id}' has {', '.join(wanted) or 'no arguments'}; "
                + (f"'{unknown[0]}' is none of them" if unknown else f"'{lacking[0]}' is not given")
            )
        try:
            require_fit(self.arguments, wanted)
        except ValueError as error:
            raise ValueError(f"instruction '{self.id}': {error}") from error

    @property
    def needs_language(self) -> bool:
        """Whether it has to tell languages."""
        return self.id.startswith(_OF_LANGUAGE)

    def check(self, text: str) -> Finding:
        """Return whether a text follows it; a blank one follows none."""
        return CHECKS[self.id](text, **self.arguments) if text.strip() else missing(text)

    def is_followed_loosely(self, text: str) -> bool:
        """Return whether a text, or one of IFEval's seven variants of it, follows it.

        Without its first line, its last, or both (what frames an answer), and without asterisks.
        """
        return any(self.check(each).followed for each in _variants(text))


def from_options(given: Sequence[Mapping[str, Any]]) -> tuple[Instruction, ...]:
    """Return instructions written as ``{"id": NAME, ARGUMENT: VALUE, ...}``.

    Raises:
        ValueError: one without id, or that does not exist so.
    """
    for each in given:
        if not isinstance(each.get("id"), str):
            raise ValueError(f'an instruction is {{"id": NAME, ARGUMENT: VALUE}}, found {each}')
    return tuple(
        Instruction(each["id"], {k: v for k, v in each.items() if k != "id"}) for each in given
    )


def from_columns(
    ids: Any,
    arguments: Any,
    *,
    ids_column: str = "instruction_id_list",
    arguments_column: str = "kwargs",
) -> tuple[Instruction, ...]:
    """Return the instructions of a row of IFEval: names, and as many sets of arguments.

    Arguments that are null are left out, as the published tables have all of them in every set.

    Args:
        ids: names, a list or its JSON text.
        arguments: a mapping or null for each name, a list or its JSON text.
        ids_column: where the names stand, for messages.
        arguments_column: where the arguments stand, for messages.

    Raises:
        ValueError: the columns have another form, or name what does not exist.
    """
    names, sets = _listed(ids, ids_column), _listed(arguments, arguments_column)
    if len(names) != len(sets):
        raise ValueError(
            f"{len(names)} instructions, but {len(sets)} sets of {arguments_column}: the columns "
            f"'{ids_column}' and '{arguments_column}' must hold lists of the same length"
        )
    return tuple(
        Instruction(_name(name, ids_column), _set(given, name, arguments_column))
        for name, given in zip(names, sets, strict=True)
    )


def _listed(value: Any, column: str) -> list[Any]:
    """Return a list, also from JSON text, as CSV files have it."""
    read = value
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = None
    if not isinstance(read, list):
        raise ValueError(
            f"the column '{column}' must hold a list, or the JSON text of one, found "
            f"{_shown(value)}"
        )
    return read


def _name(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise ValueError(
            f"the column '{column}' must hold names of instructions, found {_shown(value)} among "
            "them"
        )
    return value


def _set(value: Any, name: str, column: str) -> dict[str, Any]:
    """Return the arguments of an instruction that are given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"the column '{column}' must hold the arguments of each instruction by name, such as "
            f"{{\"num_words\": 100}}, or {{}}; found {_shown(value)} for '{name}'"
        )
    return {key: _whole(item) for key, item in value.items() if item is not None}


def _shown(value: Any) -> str:
    """Return a value for a message, with its type where it is no text."""
    if value is None:
        return "nothing"
    kind = "" if isinstance(value, str) else f" ({type(value).__name__})"
    return f"{str(value)[:_NUM_SHOWN]!r}{kind}"


def _whole(value: Any) -> Any:
    """Return 3 for 3.0: tables that mix numbers and nulls make floats of them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _variants(text: str) -> tuple[str, ...]:
    lines = text.split("\n")
    cut = [
        text,
        "\n".join(lines[1:]).strip(),
        "\n".join(lines[:-1]).strip(),
        "\n".join(lines[1:-1]).strip(),
    ]
    return (*cut, *(each.replace("*", "") for each in cut))
