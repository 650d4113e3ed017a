"""The columns of a preference row as prompt, chosen and rejected."""

from collections.abc import Sequence

from tgdpo_core.data.columns import Fields, RowReading
from tgdpo_core.data.dialogue import (
    check_order,
    check_prompt,
    check_response,
    refuse_user_turns,
)
from tgdpo_core.data.embedded import read_messages
from tgdpo_core.data.messages import Turn, as_turns, kind_of, messages_of
from tgdpo_core.data.pairs import SIDES
from tgdpo_core.data.parts import Parts
from tgdpo_core.data.prompt_alone import is_chat, prompt_alone
from tgdpo_core.data.prompts import (
    USER_TEXT,
    chat_prompt,
    given_dialogue,
    has_prompt,
    text_of,
    with_system,
)
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.transcripts import (
    is_transcript,
    split_transcripts,
    user_speaks,
    without_prompt,
)
from tgdpo_core.errors import did_you_mean
from tgdpo_core.plugin_api.rewards import Side

Turns = list[Turn]


def assemble(fields: Fields, reading: RowReading) -> Parts:
    """Return prompt, chosen and rejected of a row; the fields know afterwards what was used.

    Raises:
        RowProblem: a field is missing or of the wrong type, the roles are out of order, or nothing
            says where the prompt ends.
    """
    _require_format(fields, reading)
    if reading.prompts_suffice and not any(fields.has(side) for side in SIDES):
        return prompt_alone(fields, reading)
    chosen, rejected = (_side(fields, side) for side in SIDES)
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _of_texts(fields, reading, chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        kinds = [
            f"'{side}' is {'text' if isinstance(value, str) else 'messages'}"
            for side, value in zip(SIDES, (chosen, rejected), strict=True)
        ]
        raise RowProblem("mixed_formats", ", ".join(kinds))
    return _of_dialogues(fields, reading, chosen, rejected)


def _side(fields: Fields, side: Side) -> str | Turns:
    if not fields.has(side):
        raise RowProblem(
            "missing_field",
            f"no field '{side}'. {did_you_mean(side, fields.names())} A row needs 'chosen' and "
            f"'rejected'; another column is named with --set data.columns.{side}=COLUMN",
        )
    column = fields.column(side)
    value = read_messages(fields.read(side), column)
    if isinstance(value, str):
        if not value:
            raise RowProblem("empty", f"'{column}' is empty")
        return value
    if not isinstance(value, list | tuple | dict):
        raise RowProblem("not_text", f"'{column}' must be text or messages, found {kind_of(value)}")
    turns = as_turns(value, column)
    if not turns:
        raise RowProblem("empty", f"'{column}' is empty")
    return turns


def _require_format(fields: Fields, reading: RowReading) -> None:
    """Refuse a row that lacks what the format asked for is made of."""
    needed: dict[str, Sequence[str]] = {
        "explicit": ("prompt",),
        "sharegpt": ("messages",),
        "instruction": USER_TEXT,
    }
    names = needed.get(reading.format, ())
    if names and not any(fields.filled(name) for name in names):
        raise RowProblem(
            "missing_field",
            f"data.format is {reading.format}, but nothing stands in {' or '.join(names)}. "
            f"Columns: {', '.join(fields.names())}",
        )


# -- both responses are text ------------------------------------------------------------------


def _of_texts(fields: Fields, reading: RowReading, chosen: str, rejected: str) -> Parts:
    if reading.format == "implicit":
        return _of_transcripts(chosen, rejected, fields, by_words=True)
    if is_transcript(chosen, rejected) and not fields.has("prompt"):
        return _of_transcripts(chosen, rejected, fields, by_words=False)
    if is_chat(fields, reading):
        prompt = _before_answer(chat_prompt(fields), chosen)
        sides = [
            [Turn({"role": "assistant", "content": text}, fields.column(side))]
            for side, text in zip(SIDES, (chosen, rejected), strict=True)
        ]
        return _chat(prompt, *sides)
    if not fields.has("prompt"):
        return _of_transcripts(chosen, rejected, fields, by_words=False)
    prompt_text = text_of(fields, "prompt")
    if not prompt_text.strip():
        raise RowProblem("empty", f"'{fields.column('prompt')}' is empty")
    cut = None
    if reading.format != "explicit":
        cut = without_prompt(prompt_text, chosen, rejected)
    return Parts(*cut, ("prompt_repeated",)) if cut else Parts(prompt_text, chosen, rejected)


def _of_transcripts(chosen: str, rejected: str, fields: Fields, *, by_words: bool) -> Parts:
    parts = split_transcripts(chosen, rejected, by_words=by_words)
    if parts is None:
        raise _no_prompt(fields)
    prompt, sides = parts[0], parts[1:]
    if not prompt.strip():
        raise RowProblem("empty", "'prompt' is empty: 'chosen' and 'rejected' share no first word")
    for side, text in zip(SIDES, sides, strict=True):
        if not text:
            raise RowProblem("empty", f"'{side}' is empty after the prompt")
    notes = ("user_turn_in_response",) if any(user_speaks(text) for text in sides) else ()
    return Parts(*parts, notes)


def _before_answer(prompt: Turns, chosen: str) -> Turns:
    """Return a dialogue without its last message where that is the chosen response."""
    last = prompt[-1]
    is_answer = last.role == "assistant" and last.message["content"].strip() == chosen.strip()
    return prompt[:-1] if is_answer else prompt


def _no_prompt(fields: Fields) -> RowProblem:
    return RowProblem(
        "no_prompt",
        f"no column holds the prompt (columns: {', '.join(fields.names())}). Name it with --set "
        "data.columns.prompt=COLUMN, or, if both responses begin with it, say so with --set "
        "data.format=implicit",
    )


# -- both responses are messages --------------------------------------------------------------


def _of_dialogues(fields: Fields, reading: RowReading, chosen: Turns, rejected: Turns) -> Parts:
    if reading.format == "implicit":
        return _of_whole_dialogues(fields, chosen, rejected, by_request=True)
    given = given_dialogue(fields)
    if given and (cut := _cut_given(given, chosen, rejected)):
        prompt, sides = cut
        fields.read("messages" if fields.filled("messages") else "prompt")
        parts = _chat(with_system(fields, prompt), *sides)
        return parts._replace(notes=("prompt_repeated", *parts.notes))
    if has_prompt(fields) and "assistant" in (chosen[0].role, rejected[0].role):
        prompt = chat_prompt(fields)
        if messages_of(prompt[-len(chosen) :]) == messages_of(chosen):
            prompt = prompt[: -len(chosen)]
        return _chat(prompt, chosen, rejected)
    return _of_whole_dialogues(fields, chosen, rejected, by_request=False)


def _of_whole_dialogues(
    fields: Fields, chosen: Turns, rejected: Turns, *, by_request: bool
) -> Parts:
    for turns in (chosen, rejected):
        check_order(turns)
    num_shared = _num_shared(chosen, rejected)
    while num_shared and chosen[num_shared - 1].role not in ("user", "tool"):
        num_shared -= 1
    prompt = chosen[:num_shared]
    if not prompt:
        raise _no_common_prompt(fields, chosen, rejected)
    _check_prompt_column(fields, prompt)
    sides = chosen[num_shared:], rejected[num_shared:]
    if not by_request:
        for side, turns in zip(SIDES, sides, strict=True):
            refuse_user_turns(turns, side)
    return _chat(with_system(fields, prompt), *sides)


def _check_prompt_column(fields: Fields, prompt: Turns) -> None:
    """Refuse a prompt column that is not what the dialogues begin with."""
    if not fields.filled("prompt"):
        return
    column = fields.column("prompt")
    value = read_messages(fields.read("prompt"), column)
    if isinstance(value, str):
        # UltraFeedback: the first question as text, beside the dialogues that hold it.
        if not any(t.role == "user" and t.message["content"] == value for t in prompt):
            raise RowProblem(
                "mixed_formats",
                f"'{column}' is text that the messages of 'chosen' do not begin with",
            )
        return
    raise RowProblem(
        "mixed_formats", f"'chosen' and 'rejected' do not begin with the messages of '{column}'"
    )


def _no_common_prompt(fields: Fields, chosen: Turns, rejected: Turns) -> RowProblem:
    if chosen[0].role == rejected[0].role == "assistant":
        return _no_prompt(fields)
    return RowProblem("empty", "'prompt' is empty: the dialogues share no first message")


def _num_shared(a: Turns, b: Turns) -> int:
    """Return how many first messages are equal; each side keeps at least its last."""
    limit = min(len(a), len(b)) - 1
    pairs = zip(messages_of(a[:limit]), messages_of(b[:limit]), strict=True)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), limit)


def _cut_given(given: Turns, chosen: Turns, rejected: Turns) -> tuple[Turns, list[Turns]] | None:
    """Return prompt and responses where both sides repeat the given prompt, else None.

    Where the sides go on alike up to another question, so does the prompt.
    """
    if given[-1].role not in ("user", "tool"):
        return None
    found = [_cut(given, side) for side in (chosen, rejected)]
    if found[0] is None or found[1] is None or messages_of(found[0][0]) != messages_of(found[1][0]):
        return None
    prompt, rests = found[0][0], [found[0][1], found[1][1]]
    alike = rests[0][: _num_shared(*rests)]
    more = max((i for i, turn in enumerate(alike, 1) if turn.role == "user"), default=0)
    return [*prompt, *alike[:more]], [rest[more:] for rest in rests]


def _cut(given: Turns, side: Turns) -> tuple[Turns, Turns] | None:
    """Return a side's prompt and rest; a system message may stand in only one of the two."""
    head_given, head_side = _num_system(given), _num_system(side)
    body = given[head_given:]
    end = head_side + len(body)
    if not body or len(side) <= end or messages_of(side[head_side:end]) != messages_of(body):
        return None
    heads = messages_of(given[:head_given]), messages_of(side[:head_side])
    if all(heads) and heads[0] != heads[1]:
        return None
    return [*(side[:head_side] or given[:head_given]), *side[head_side:end]], side[end:]


def _num_system(turns: Turns) -> int:
    return next(
        (i for i, turn in enumerate(turns) if turn.role not in ("system", "developer")), len(turns)
    )


def _chat(prompt: Turns, chosen: Turns, rejected: Turns) -> Parts:
    """Return a checked chat."""
    check_order(prompt)
    check_prompt(prompt)
    for side, turns in zip(SIDES, (chosen, rejected), strict=True):
        check_response(turns, side)
        check_order([*prompt, *turns])
    parts = Parts(messages_of(prompt), messages_of(chosen), messages_of(rejected))
    speaks = any(turn.role == "user" for turn in (*chosen, *rejected))
    return parts._replace(notes=("user_turn_in_response",)) if speaks else parts
