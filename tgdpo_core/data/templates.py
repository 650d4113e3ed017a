"""Messages to text through a chat template, which is code that came with a model.

It may refuse a row, lose a part of it, read today's date, or never end: each of these is said.
"""

import datetime
import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from tgdpo_core.data.content_tags import Content, FoundContents, Tagged
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.template_source import analyser, date_formats, holds_absurd_number
from tgdpo_core.data.time_limit import TimeLimit, TookTooLong
from tgdpo_core.errors import DataError

PLAIN_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{{ '\n\nAssistant: ' + m['content'] }}"
    "{% else %}{{ '\n\nHuman: ' + m['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)
"""Layout of messages for a tokenizer that brings no chat template (a base model)."""

SECONDS = 10.0
"""A template that is busy for longer with one rendering is taken to run away."""

CHARACTERS = 10_000_000
"""A rendering that is longer is taken to run away."""

DATE = "strftime_now"
"""The function by which templates read today's date, and the variable that fixes it."""

_DATE_MACRO = "{%- macro strftime_now(format) -%}{{ _dates[format] }}{%- endmacro -%}"
_RUNS_AWAY = (TookTooLong, MemoryError, RecursionError, OverflowError)
_REFUSES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """The chat template of a tokenizer, or the plain layout where it has none.

    Args:
        tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.is_plain = not tokenizer.chat_template
        self._limit = TimeLimit(SECONDS)
        self._dated: set[tuple[str, ...]] = set()
        self._read: dict[str, tuple[jinja2.nodes.Template, set[str]]] = {}

    def render(
        self, pair: PreferencePair, messages: Sequence[Any], *, generation_prompt: bool = False
    ) -> str:
        """Return messages as text.

        Args:
            pair: where they are from: its tools and variables for the template.
            messages: what is rendered.
            generation_prompt: whether the beginning of an answer is written behind them.

        Raises:
            RowProblem: the template refuses them, or does not read a variable that it is given.
            DataError: it runs away, is no template, or reads today's date.
        """
        self._check_variables(pair)
        self._require_fixed_date(pair)
        return self._run(pair, messages, pair.tools, generation_prompt=generation_prompt)

    def render_open(self, pair: PreferencePair, messages: Sequence[Any]) -> str:
        """Return messages as text up to the end of the last one's content; nothing closes it.

        Raises:
            RowProblem: it has no content that could be gone on from, or the template rewrites it.
        """
        if messages[-1].get("tool_calls") or not messages[-1].get("content"):
            raise RowProblem(
                "unfinished_call",
                "the response is marked as unfinished, and its last message is no text: only text "
                "can be left open",
            )
        return self._run(pair, messages, pair.tools, continue_final_message=True)

    def contents(
        self,
        pair: PreferencePair,
        messages: Sequence[Any],
        text: str,
        *,
        generation_prompt: bool = False,
    ) -> FoundContents:
        """Return what became of the messages' contents in ``text``, their rendering."""
        tagged = Tagged(messages, pair.tools)
        try:
            rendered = self._run(
                pair, tagged.messages, tagged.tools, generation_prompt=generation_prompt
            )
        except RowProblem:
            # It reads the contents and does not know these; they are looked for in the text.
            rendered = text
        return tagged.found_in(rendered, text)

    @cached_property
    def turn_mark(self) -> str | None:
        """What stands between a question and its answer, or None if that cannot be told."""
        if self.is_plain:
            return None
        question = "\ufdd0"
        pair = PreferencePair("", "", "", where="a question")
        try:
            messages = [{"role": "user", "content": question}]
            text = self._run(pair, messages, None, generation_prompt=True)
        except (RowProblem, DataError):
            return None
        return text.rpartition(question)[2] if question in text else None

    def _run(
        self,
        pair: PreferencePair,
        messages: Sequence[Any],
        tools: Sequence[Any] | None,
        *,
        generation_prompt: bool = False,
        continue_final_message: bool = False,
    ) -> str:
        try:
            template, variables = self._with_date(pair)
            with self._limit:
                text: str = self._tokenizer.apply_chat_template(
                    [*messages],
                    tools=tools,
                    chat_template=template,
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    continue_final_message=continue_final_message,
                    **variables,
                )
        except jinja2.TemplateSyntaxError as error:
            raise DataError(f"The chat template of {self._name} is no template: {error}") from error
        except _RUNS_AWAY as error:
            raise self._ran_away(pair, f"{type(error).__name__}: {error}".rstrip(": ")) from error
        except _REFUSES as error:
            raise RowProblem(
                "template_refuses", f"the chat template refuses the messages: {_said(error)}"
            ) from error
        if len(text) > CHARACTERS:
            raise self._ran_away(pair, f"it wrote {len(text)} characters")
        return text

    def _ran_away(self, pair: PreferencePair, what: str) -> DataError:
        return DataError(
            f"{pair.where}: the chat template of {self._name} runs away ({what}; allowed are "
            f"{SECONDS:g} seconds and {CHARACTERS} characters a dialogue). Mend chat_template in "
            "its folder."
        )

    @property
    def _name(self) -> str:
        return f"'{self._tokenizer.name_or_path or type(self._tokenizer).__name__}'"

    # -- its variables ---------------------------------------------------------------------------

    def _source(self, pair: PreferencePair) -> str:
        if self.is_plain:
            return PLAIN_TEMPLATE
        try:
            source: str = self._tokenizer.get_chat_template(None, pair.tools)
        except ValueError as error:
            raise DataError(f"The tokenizer of {self._name}: {error}") from error
        return source

    def _parsed(self, pair: PreferencePair) -> tuple[jinja2.nodes.Template, set[str]]:
        """Return the template's syntax tree and the variables that it reads."""
        source = self._source(pair)
        if source not in self._read:
            environment = analyser()
            try:
                tree = environment.parse(source)
            except jinja2.TemplateSyntaxError as error:
                raise DataError(
                    f"The chat template of {self._name} is no template: {error}"
                ) from error
            if holds_absurd_number(tree, CHARACTERS):
                raise self._ran_away(pair, f"it computes with a number above {CHARACTERS}")
            known = {*environment.globals, *self._tokenizer.special_tokens_map}
            settings = inspect.signature(self._tokenizer.apply_chat_template).parameters
            given = known | {*settings, "messages", "raise_exception"}
            self._read[source] = tree, jinja2.meta.find_undeclared_variables(tree) - given
        return self._read[source]

    def variables(self, pair: PreferencePair) -> set[str]:
        """Return the variables that the template reads beside messages, tools and tokens."""
        return self._parsed(pair)[1]

    def _check_variables(self, pair: PreferencePair) -> None:
        if not pair.template_kwargs:
            return
        read = self.variables(pair)
        unread = sorted(pair.template_kwargs.keys() - read)
        if unread:
            listed = ", ".join(sorted(read)) or "none"
            layout = "The plain layout (the model has no chat template)"
            who = layout if self.is_plain else f"The chat template of {self._name}"
            raise RowProblem(
                "unread_template_kwargs",
                f"{who} does not read {', '.join(map(repr, unread))} "
                f"(data.chat_template_kwargs, or the row's own). It reads: {listed}",
            )

    def _with_date(self, pair: PreferencePair) -> tuple[str | None, dict[str, Any]]:
        """Return the template and its variables; a fixed date is written by a macro of ours."""
        variables = dict(pair.template_kwargs)
        source = self._source(pair) if self.is_plain else None
        if DATE not in variables:
            return source, variables
        date = _date(variables.pop(DATE))
        formats = date_formats(self._parsed(pair)[0], DATE)
        variables["_dates"] = {form: date.strftime(form) for form in formats}
        return _DATE_MACRO + self._source(pair), variables

    def _require_fixed_date(self, pair: PreferencePair) -> None:
        """Refuse a template that reads the clock: its ids would differ from day to day."""
        key = (self._source(pair), *sorted(pair.template_kwargs))
        if DATE in pair.template_kwargs or key in self._dated or DATE not in self.variables(pair):
            return
        text = "no function"  # calling it raises, so a template that does not call it is known
        blinded = {**pair.template_kwargs, DATE: text}
        try:
            with self._limit:
                self._tokenizer.apply_chat_template(
                    [*pair.prompt], tools=pair.tools, tokenize=False, **blinded
                )
        except TypeError as error:
            if "'str' object is not callable" not in str(error):
                return
            others = ", ".join(sorted(self.variables(pair) - {DATE})) or "none"
            raise DataError(
                f"The chat template of {self._name} writes today's date into every dialogue, so "
                "token ids would differ from day to day. Fix it, for example with --set "
                f"data.chat_template_kwargs='{{{DATE}: 2024-07-26}}' (evaluate: "
                f"--chat-template-kwarg {DATE}=2024-07-26; other variables that it "
                f"reads: {others})."
            ) from error
        except (*_RUNS_AWAY, *_REFUSES):
            return  # the rendering itself says why
        self._dated.add(key)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, jinja2.TemplateError) else repr(error)


def _date(value: Any) -> datetime.date:
    try:
        return value if isinstance(value, datetime.date) else datetime.date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise RowProblem(
            "unread_template_kwargs", f"{DATE} must be a date such as 2024-07-26, found {value!r}"
        ) from error


def described(contents: Iterable[Content], messages: Sequence[Mapping[str, Any]]) -> str:
    """Return contents in words, for messages."""
    return "; ".join(
        f"the {c.what}{f' of message {c.message} ({_role(messages, c)})' if c.message >= 0 else ''}"
        f", {c.text[:40]!r}"
        for c in contents
    )


def _role(messages: Sequence[Mapping[str, Any]], content: Content) -> str:
    return str(messages[content.message].get("role"))
