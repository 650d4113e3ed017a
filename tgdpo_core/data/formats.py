"""Rows, whatever their columns, turned into preference pairs.

A column whose name says what it is (``columns.NAMES``) is used or the row is refused; the others
are kept for plugins. docs/data.md lists the formats.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tgdpo_core.data.assembly import assemble
from tgdpo_core.data.columns import (
    Fields,
    RowReading,
    is_blank,
    require_columns,
    sort_columns,
)
from tgdpo_core.data.embedded import read_list, read_messages
from tgdpo_core.data.messages import as_turns, kind_of, messages_of
from tgdpo_core.data.open_ends import read_finished
from tgdpo_core.data.pairs import SIDES, PreferencePair, Text
from tgdpo_core.data.parts import Parts
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.rows import Row
from tgdpo_core.data.tool_calls import as_tools, require_json

_AS_WRITTEN = RowReading()


def parse_rows(
    rows: Iterable[Row], report: DataReport, reading: RowReading = _AS_WRITTEN
) -> list[PreferencePair]:
    """Return the pairs of all usable rows; the others go into the report with their place.

    Raises:
        DataError: ``reading.columns`` names a column that no row has.
    """
    return [pair for _, pair in parsed_rows(rows, report, reading)]


def parsed_rows(
    rows: Iterable[Row], report: DataReport, reading: RowReading = _AS_WRITTEN
) -> Iterator[tuple[int, PreferencePair]]:
    """Yield number and pair of every usable row; the others go into the report with their place.

    Raises:
        DataError: ``reading.columns`` names a column that no row has.
    """
    first: PreferencePair | None = None
    columns: set[str] = set()
    for number, (where, row) in enumerate(rows):
        report.num_rows += 1
        if isinstance(row, Mapping):
            columns.update(row)
        try:
            pair, notes = _parse(row, where, reading)
            if first and pair.is_chat != first.is_chat:
                kinds = ("messages", "text") if pair.is_chat else ("text", "messages")
                raise RowProblem(
                    "mixed_formats", f"the row holds {kinds[0]}, {first.where} holds {kinds[1]}"
                )
        except RowProblem as problem:
            report.add_problem(where, problem)
            continue
        first = first or pair
        report.num_pairs += 1
        report.counts.update(notes)
        yield number, pair
    require_columns(reading.columns, columns, report.source)


def parse_row(
    row: Mapping[str, Any], *, where: str, reading: RowReading = _AS_WRITTEN
) -> PreferencePair:
    """Return the pair of one row.

    Raises:
        RowProblem: a field is missing, empty or of the wrong type, a column would be ignored, the
            roles are out of order, or the responses are equal.
    """
    return _parse(row, where, reading)[0]


def _parse(row: Any, where: str, reading: RowReading) -> tuple[PreferencePair, Sequence[str]]:
    if isinstance(row, RowProblem):  # the source could read the row, but not use it
        raise row
    if not isinstance(row, Mapping):
        raise RowProblem("not_a_row", f"a row must be a mapping of columns, found {kind_of(row)}")
    fields = sort_columns(_laid_open(row), reading.columns)
    _refuse_media(fields)
    parts = assemble(fields, reading)
    tools, kwargs = _chat_settings(fields, parts)
    ends = [read_finished(fields, f"{side}_finished") for side in SIDES]
    _refuse_unread(fields, parts)
    for name, value in zip(("prompt", "chosen", "rejected"), parts[:3], strict=True):
        _require_unicode(value, name)
    _require_unicode(tools, "tools")
    notes = [*parts.notes, *_compared(parts)]
    pair = PreferencePair(
        parts.prompt,
        parts.chosen,
        parts.rejected,
        where,
        fields.free,
        tools,
        kwargs,
        chosen_finished=ends[0],
        rejected_finished=ends[1],
    )
    return pair, notes


def _laid_open(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of OpenAI's form (``input.messages``) with what it nests as columns."""
    nested = row.get("input")
    if isinstance(nested, Mapping) and "messages" in nested:
        own = {"parallel_tool_calls": None, **nested}
        own.pop("parallel_tool_calls")
        clash = sorted(own.keys() & row.keys())
        if clash:
            raise RowProblem("ignored_column", f"'input.{clash[0]}' and '{clash[0]}' are one field")
        return {**{name: value for name, value in row.items() if name != "input"}, **own}
    return row


def _refuse_media(fields: Fields) -> None:
    if fields.filled("media"):
        column = fields.column("media")
        raise RowProblem(
            "ignored_column",
            f"'{column}' would be ignored: only text is trained on. To do so, --set "
            f"data.columns.{column}=null",
        )


def _chat_settings(fields: Fields, parts: Parts) -> tuple[Sequence[Any] | None, Mapping[str, Any]]:
    """Return the tools and the template variables of a chat's row."""
    tools = as_tools(fields.peek("tools"), fields.column("tools")) if fields.has("tools") else None
    kwargs = fields.peek("chat_template_kwargs")
    if isinstance(parts.prompt, str):
        return None, {}
    for name in ("tools", "chat_template_kwargs"):
        if fields.has(name):
            fields.read(name)
    if is_blank(kwargs):
        return tools, {}
    kwargs = read_list(kwargs, "chat_template_kwargs")
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise RowProblem(
            "bad_template_kwargs",
            f"'chat_template_kwargs' must be a mapping, found {kind_of(kwargs)}",
        )
    require_json(kwargs, "chat_template_kwargs", "bad_template_kwargs")
    return tools, {name: value for name, value in kwargs.items() if value is not None}


# -- no column is lost ------------------------------------------------------------------------


def _refuse_unread(fields: Fields, parts: Parts) -> None:
    """Refuse a column that nothing took, unless what it says stands in the pair all the same."""
    for name, column, value in fields.unread():
        if not _stands_in(value, column, _texts_for(name, parts)):
            told = (
                ""
                if name in ("prompt", "chosen", "rejected")
                else (
                    f"Say what it is with data.columns (for instance --set "
                    f"data.columns.prompt={column}), or "
                )
            )
            leave = f"leave it alone with --set data.columns.{column}=null"
            raise RowProblem(
                "ignored_column",
                f"'{column}' would be ignored: the pair is made of other columns. "
                f"{told or 'To allow that, '}{leave}",
            )


def _texts_for(name: str, parts: Parts) -> list[str]:
    """Return the texts in which those of a field must be found."""
    if name in ("chosen", "rejected"):
        return list(_texts(parts.chosen if name == "chosen" else parts.rejected))
    texts = list(_texts(parts.prompt))
    if name == "messages":  # a copy of a whole dialogue
        texts += [*_texts(parts.chosen), *_texts(parts.rejected)]
    return texts


def _stands_in(value: Any, column: str, texts: Sequence[str]) -> bool:
    value = read_messages(value, column)
    wanted = list(_strings(value, column))
    return bool(wanted) and all(any(part in text for text in texts) for part in wanted)


def _texts(value: Text) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from (message["content"] for message in value)


def _strings(value: Any, column: str) -> Iterator[str]:
    """Yield what a column says: its text, the contents of its messages, its numbers."""
    if isinstance(value, Mapping) and ({"role", "content"} <= value.keys() or "from" in value):
        value = [value]
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        messages = messages_of(as_turns(value, column))
        yield from (m["content"].strip() for m in messages if m["content"].strip())
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item, column)
    elif not is_blank(value):
        yield str(value).strip()


# -- the pair as a whole ----------------------------------------------------------------------


def _compared(parts: Parts) -> list[str]:
    """Return what is to be counted of two responses; equal ones are refused."""
    if not parts.chosen and not parts.rejected:
        return []
    chosen, rejected = _words(parts.chosen), _words(parts.rejected)
    if _stripped(parts.chosen) == _stripped(parts.rejected):
        exactly = parts.chosen == parts.rejected
        how = "are equal" if exactly else "are equal but for white space around them"
        raise RowProblem("identical", f"'chosen' and 'rejected' {how}: nothing to prefer")
    notes = ["differ_by_white_space"] if chosen == rejected else []
    if any(not text.strip() for side in parts[1:3] for text in _last_text(side)):
        notes.append("blank_response")
    return notes


def _last_text(value: Text) -> list[str]:
    """Return the text that a response ends with, none where it ends with a call."""
    if isinstance(value, str):
        return [value]
    return [] if value[-1].get("tool_calls") else [value[-1]["content"]]


def _stripped(value: Text) -> Any:
    if isinstance(value, str):
        return value.strip()
    return [{**message, "content": message["content"].strip()} for message in value]


def _words(value: Text) -> Any:
    if isinstance(value, str):
        return value.split()
    return [{**message, "content": message["content"].split()} for message in value]


def _require_unicode(value: Any, name: str) -> None:
    """Refuse lone surrogates (half an emoji escaped in JSON): no tokenizer takes them."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = value[error.start]
            raise RowProblem("not_text", f"'{name}' holds the lone surrogate {found!a}") from error
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _require_unicode(key, name)
            _require_unicode(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_unicode(item, name)
