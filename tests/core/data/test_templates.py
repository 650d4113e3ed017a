"""Chat templates: what they refuse, lose, read, and that they end."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tgdpo_core.data import templates
from tgdpo_core.data.model_text import encode_prompts
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import DataError

TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
START = "{% if add_generation_prompt %}<assistant>{% endif %}"
THINKING = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{% set c = m.content %}"
    "{% if m.role == 'assistant' %}{% set t = '' %}"
    "{% if m.reasoning_content %}{% set t = m.reasoning_content %}"
    "{% elif '</think>' in c %}"
    "{% set t = c.split('</think>')[0].split('<think>')[-1].strip('\\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{% if loop.index0 > ns.last %}<think>\n{{ t }}\n</think>\n\n{% endif %}{% endif %}"
    "{{ c }}</s>{% endfor %}" + START
)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


PAIR = PreferencePair([user("Hi")], [assistant("Yes")], [assistant("No")], "rows:1")


@pytest.fixture(scope="module")
def templated(small_tokenizer: Any) -> Callable[[str], Any]:
    """The small tokenizer with a chat template."""

    def make(template: str) -> Any:
        tokenizer = copy.deepcopy(small_tokenizer)
        tokenizer.chat_template = template
        return tokenizer

    return make


def read(*pairs: PreferencePair, tokenizer: Any) -> tuple[list[Any], DataReport]:
    report = DataReport("rows", num_rows=len(pairs))
    return tokenize_pairs(pairs, tokenizer, LengthLimits(), report), report


# -- refusals -------------------------------------------------------------------------------------

REFUSALS = {
    "by its own words": "{{ raise_exception('no such role') }}",
    "an undefined name": "{{ messages[0].name.first }}",
    "a wrong type": "{{ messages[0].content + 1 }}",
    "a wrong index": "{{ [].pop() }}",
    "a division": "{{ 1 // (messages | length - messages | length) }}",
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_row_that_a_template_refuses_is_a_bad_row_and_the_others_are_kept(
    refusal: str, templated: Callable[[str], Any]
) -> None:
    template = f"{{% if messages[0].role == 'system' %}}{refusal}{{% endif %}}{TURNS}{START}"
    refused = replace(PAIR, prompt=[{"role": "system", "content": "Be."}, *PAIR.prompt])
    pairs, report = read(
        PAIR, replace(refused, where="rows:2"), PAIR, tokenizer=templated(template)
    )
    assert len(pairs) == 2
    assert report.counts["template_refuses"] == 1
    assert report.problems[0].startswith("rows:2: the chat template refuses the messages: ")


def test_what_is_no_template_is_named(templated: Callable[[str], Any]) -> None:
    with pytest.raises(DataError, match=r"chat template of .* is no template"):
        read(PAIR, tokenizer=templated("{% for %}"))


# -- losses ---------------------------------------------------------------------------------------

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "two"}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {}}}
NO_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}</s>"
LOSSES: dict[str, tuple[str, PreferencePair, str]] = {
    "a system message, one letter long": (
        NO_SYSTEM + "{% endfor %}" + START,
        replace(PAIR, prompt=[{"role": "system", "content": "s"}, user("Hi")]),
        "the content of message 0 (system), 's'",
    ),
    "the first of two questions": (
        "{% set messages = messages[-2:] %}" + TURNS + START,
        replace(PAIR, prompt=[user("One?"), assistant("1"), user("Two?")]),
        "the content of message 0 (user), 'One?'",
    ),
    "the end of a message": (
        "{% for m in messages %}<{{ m.role }}>{{ m.content[:6] }}</s>{% endfor %}" + START,
        replace(PAIR, chosen=[assistant("Yes indeed it is")]),
        "the content of message 1 (assistant), 'Yes indeed it is'",
    ),
    "calls of tools": (
        TURNS + START,
        replace(PAIR, chosen=[assistant("I add.", tool_calls=[CALL])]),
        "the tool call of message 1 (assistant), 'add'",
    ),
    "tools": (TURNS + START, replace(PAIR, tools=[TOOL]), "the tool, 'add'"),
    "reasoning of the answer": (
        TURNS + START,
        replace(PAIR, chosen=[assistant("Yes", reasoning_content="Because.")]),
        "the reasoning of message 1 (assistant), 'Because.'",
    ),
    "a text part": (
        "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}"
        "{% else %}{{ m.content[0].text }}{% endif %}</s>{% endfor %}" + START,
        replace(PAIR, prompt=[user([{"type": "text", "text": t} for t in ("One", "Two")])]),
        "the content of message 0 (user), 'Two'",
    ),
}


@pytest.mark.parametrize(("template", "pair", "what"), LOSSES.values(), ids=LOSSES.keys())
def test_what_a_template_leaves_out_makes_a_bad_row_that_names_it(
    template: str, pair: PreferencePair, what: str, templated: Callable[[str], Any]
) -> None:
    pairs, report = read(pair, tokenizer=templated(template))
    assert not pairs
    assert report.counts == {"text_lost": 1}
    assert what in report.problems[0]
    pairs, report = read(replace(pair, may_lose_text=True), tokenizer=templated(template))
    assert len(pairs) == 1
    assert report.counts["text_lost"] == 1


KEPT: dict[str, tuple[str, PreferencePair]] = {
    "white space around": (
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</s>{% endfor %}" + START,
        replace(PAIR, prompt=[user("  Hi\n")], chosen=[assistant("\n Yes ")]),
    ),
    "an empty message": (TURNS + START, replace(PAIR, prompt=[user("Hi"), assistant("")])),
    "capitals": (
        "{% for m in messages %}<{{ m.role }}>{{ m.content | replace('Hi', 'Hi') }}</s>"
        "{% endfor %}" + START,
        PAIR,
    ),
    "reasoning in the content": (
        THINKING,
        replace(PAIR, chosen=[assistant("<think>\nhm\n</think>\n\nYes")]),
    ),
    "reasoning in its field": (
        THINKING,
        replace(PAIR, chosen=[assistant("Yes", reasoning_content="hm")]),
    ),
    "calls of tools": (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}</s>"
        "{% endfor %}" + START,
        replace(PAIR, chosen=[assistant("I add.", tool_calls=[CALL])]),
    ),
    "tools": ("{{ tools | tojson }}" + TURNS + START, replace(PAIR, tools=[TOOL])),
    "characters that tags are made of": (
        TURNS + START,
        replace(PAIR, prompt=[user("a \ufdd0 b \ufdd1")]),
    ),
}


@pytest.mark.parametrize(("template", "pair"), KEPT.values(), ids=KEPT.keys())
def test_what_a_template_only_lays_out_is_not_lost(
    template: str, pair: PreferencePair, templated: Callable[[str], Any]
) -> None:
    pairs, report = read(pair, tokenizer=templated(template))
    assert not report.problems
    assert len(pairs) == 1
    assert set(report.counts) <= {"tokens_after_eos"}


def test_reasoning_of_earlier_turns_is_left_out_by_design_and_counted(
    templated: Callable[[str], Any],
) -> None:
    earlier = assistant("<think>\nlong thoughts\n</think>\n\nOne")
    pair = replace(PAIR, prompt=[user("Hi"), earlier, user("And?")])
    (read_pair,), report = read(pair, tokenizer=templated(THINKING))
    assert report.counts == {"earlier_reasoning_left_out": 1}
    ids = read_pair.prompt_ids
    assert "long thoughts" not in templated(THINKING).decode(ids)


# -- variables ------------------------------------------------------------------------------------

SWITCH = TURNS + START + "{% if thinking is defined and not thinking %}<none>{% endif %}"


def test_variables_reach_every_rendering(templated: Callable[[str], Any]) -> None:
    tokenizer = templated(SWITCH)
    pair = replace(PAIR, template_kwargs={"thinking": False})
    (read_pair,), _ = read(pair, tokenizer=tokenizer)
    (prompt,) = encode_prompts([pair], tokenizer)
    assert tokenizer.decode(prompt).endswith("<assistant><none>")
    assert read_pair.chosen.text.endswith("Yes</s><none>")
    (other,) = encode_prompts([PAIR], tokenizer)
    assert tokenizer.decode(other).endswith("<assistant>")


@pytest.mark.parametrize("name", ["thinkin", "tokenize", "messages", "bos_token"])
def test_a_variable_that_the_template_does_not_read_is_refused_with_those_it_reads(
    name: str, templated: Callable[[str], Any]
) -> None:
    pair = replace(PAIR, template_kwargs={name: False})
    _, report = read(pair, tokenizer=templated(SWITCH))
    assert report.counts == {"unread_template_kwargs": 1}
    assert f"does not read '{name}'" in report.problems[0]
    assert report.problems[0].endswith("It reads: thinking")


DATED = {
    "always": "{{ strftime_now('%d %b %Y') }}" + TURNS + START,
    "by default": (
        "{% if date is not defined %}{% set date = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ date }}" + TURNS + START
    ),
}


@pytest.mark.parametrize("template", DATED.values(), ids=DATED.keys())
def test_todays_date_in_a_dialogue_is_refused_until_it_is_fixed(
    template: str, templated: Callable[[str], Any]
) -> None:
    tokenizer = templated(template)
    with pytest.raises(DataError, match=r"writes today's date .*strftime_now: 2024-07-26"):
        read(PAIR, tokenizer=tokenizer)
    fixed = replace(PAIR, template_kwargs={"strftime_now": "2024-07-26"})
    (pair,), _ = read(fixed, tokenizer=tokenizer)
    assert "26 Jul 2024<user>" in tokenizer.decode(pair.prompt_ids)


def test_a_template_with_a_date_of_its_own_variable_needs_no_other(
    templated: Callable[[str], Any],
) -> None:
    pair = replace(PAIR, template_kwargs={"date": "1 May 2020"})
    (result,), _ = read(pair, tokenizer=templated(DATED["by default"]))
    assert "1 May 2020<user>" in templated("").decode(result.prompt_ids)


# -- templates that run away ----------------------------------------------------------------------

ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a power": "{{ 'x' * 10 ** 9 }}",
    "a factor": "{{ 'x' * 1000000000 }}",
    "a range": "{% for a in range(10 ** 7) %}{% endfor %}",
    "much text": "{% for a in range(3000) %}{{ 'y' * 10000 }}{% endfor %}",
}


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_template_that_runs_away_is_stopped_and_named(
    template: str, templated: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "SECONDS", 0.5)
    tokenizer = templated(template)
    tokenizer.name_or_path = "models/endless"
    began = time.monotonic()
    with pytest.raises(DataError, match=r"rows:1: the chat template of 'models/endless' runs away"):
        read(PAIR, tokenizer=tokenizer)
    assert time.monotonic() - began < 10
