"""Prompt and steps as the tokens that a process reward model was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core import Example
from tgdpo_core.prm import piecewise
from tgdpo_plugins.token_rewards.dense_prm.presets import Preset


@dataclass(frozen=True)
class Reading:
    """One input of the reward model.

    Attributes:
        ids: its tokens.
        positions: where a value is read, ascending; in a layout of steps one per step.
    """

    ids: Sequence[int]
    positions: Sequence[int]


def read_steps(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """Return the input for a response and the position of the value of every step.

    Raises:
        ValueError: a prompt that the layout cannot show, or a tag that is not one token.
    """
    return _LAYOUTS[preset.layout](example, _numbered(steps, preset), tokenizer, preset)


def _numbered(steps: Sequence[str], preset: Preset) -> list[str]:
    if not preset.step_prefix:
        return list(steps)
    return [
        step if step.startswith("Step ") else preset.step_prefix.format(number=number) + step
        for number, step in enumerate(steps, 1)
    ]


def _piecewise(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """[BOS] prompt, then step and tag by turns, each tokenized alone; read at the tag's last id."""
    tag = _ids(tokenizer, preset.tag)
    ids, positions = piecewise(
        _question(example) + preset.prompt_end,
        steps,
        tokenizer,
        tag=tag if preset.whole_tag else tag[-1:],
    )
    return Reading(ids, positions)


def _tagged_chat(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """A chat whose answer has the tag behind every step; read at the tag."""
    answer, ends = _tagged(steps, preset)
    messages = [*_messages(example, preset), {"role": "assistant", "content": answer}]
    text = _rendered(messages, example, tokenizer)
    start = text.rfind(answer)
    if start < 0:
        raise ValueError(
            "the chat template of the reward model does not write the answer as it is, so its "
            f"steps cannot be found: {text[-80:]!r}"
        )
    return _read_at(text, [start + end for end in ends], tokenizer, preset, special=False)


def _tagged_text(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """[BOS] prompt + ' ' + the steps, the tag behind each; read at the tag."""
    prompt = _question(example) + " "
    answer, ends = _tagged(steps, preset)
    ends = [len(prompt) + end for end in ends]
    return _read_at(prompt + answer, ends, tokenizer, preset, special=True)


def _turns(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """The user says a step, the assistant says good, by turns; read where that is predicted."""
    *before, asked = _messages(example, preset)
    turns = [f"{asked['content']} {steps[0]}", *steps[1:]]

    def ids_with(answer: str) -> list[int]:
        messages = list(before)
        for turn in turns:
            messages += [
                {"role": "user", "content": turn},
                {"role": "assistant", "content": answer},
            ]
        return _ids(tokenizer, _rendered(messages, example, tokenizer))

    # Wherever the ids of two answers differ, an answer stands, whatever the template has around.
    good, bad = ids_with(preset.good), ids_with(preset.bad)
    places = [i for i, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b]
    labels = (token_id(tokenizer, preset.good), token_id(tokenizer, preset.bad))
    if {(good[i], bad[i]) for i in places} != {labels} or len(places) != len(steps):
        raise ValueError(
            f"the chat template of the reward model does not leave the answers {preset.good!r} and "
            f"{preset.bad!r} as one token each. Use the tokenizer that the model was trained with"
        )
    return Reading(good, [i - 1 for i in places])


_LAYOUTS: dict[str, Callable[[Example, Sequence[str], Any, Preset], Reading]] = {
    "piecewise": _piecewise,
    "tagged-chat": _tagged_chat,
    "tagged-text": _tagged_text,
    "turns": _turns,
}


def _question(example: Example) -> str:
    """Return the prompt of a layout without roles: one question, without the space around it."""
    if isinstance(example.prompt, str):
        return example.prompt.strip()
    # A model that knows no roles was trained on the question alone.
    turns = [message for message in example.prompt if message.get("role") != "system"]
    roles = [str(turn.get("role")) for turn in turns]
    if roles != ["user"] or not isinstance(turns[0].get("content"), str) or example.tools:
        tools = " and tools" if example.tools else ""
        raise ValueError(
            f"this preset asks one question in plain text, found messages of {', '.join(roles)}"
            f"{tools}. Use rows with one user message, or a preset with a chat template (qwen-prm, "
            "token-head, sequence-reward)"
        )
    return str(turns[0]["content"]).strip()


def _messages(example: Example, preset: Preset) -> list[dict[str, Any]]:
    """Return the prompt as chat messages, the preset's system message in front if it has none."""
    if isinstance(example.prompt, str):
        messages: list[dict[str, Any]] = [{"role": "user", "content": example.prompt.strip()}]
    else:
        messages = [dict(message) for message in example.prompt]
    if preset.system and messages[0].get("role") != "system":
        return [{"role": "system", "content": preset.system}, *messages]
    return messages


def _rendered(messages: Sequence[Any], example: Example, tokenizer: Any) -> str:
    text: str = tokenizer.apply_chat_template(list(messages), tools=example.tools, tokenize=False)
    return text


def _tagged(steps: Sequence[str], preset: Preset) -> tuple[str, list[int]]:
    """Return steps with the tag behind each, and where each tag ends."""
    text, ends = "", list[int]()
    for step in steps:
        text += (preset.gap if ends else "") + step + preset.tag
        ends.append(len(text))
    return text, ends


def _read_at(
    text: str, ends: Sequence[int], tokenizer: Any, preset: Preset, *, special: bool
) -> Reading:
    """Return the text's ids and the tokens that end at ``ends``, each of which must be the tag.

    Found by place and not by id: the tag may stand in the response itself.
    """
    encoded = tokenizer(
        text, add_special_tokens=special, return_offsets_mapping=True, verbose=False
    )
    places = {end: (i, text[start:end]) for i, (start, end) in enumerate(encoded["offset_mapping"])}
    positions = []
    for end in ends:
        position, token = places.get(end, (-1, ""))
        # Tokenizers differ in whether a leading space is part of the token, or of its range.
        if token.strip(" ") != preset.tag.strip(" "):
            raise ValueError(
                f"the tag {preset.tag!r} is not one token of the reward model's tokenizer at the "
                f"end of {text[max(0, end - 30) : end]!r}. Use the preset and the tokenizer that "
                "the model was trained with"
            )
        positions.append(position)
    return Reading(list(encoded["input_ids"]), positions)


def token_id(tokenizer: Any, text: str) -> int:
    """Return the id of a text that is one token (behind the space that a tokenizer may add).

    Raises:
        ValueError: it is several tokens, or unknown.
    """
    ids = _ids(tokenizer, text)
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise ValueError(
            f"{text!r} is not one token of the reward model's tokenizer (its ids are {ids}), and "
            "the preset needs one. Use the preset and the tokenizer that the model was trained with"
        )
    return ids[0]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
