"""Prompt and steps as the tokens that a process reward model was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core import Example
from tgdpo_plugins.token_rewards.dense_prm.presets import Preset
from tgdpo_plugins.token_rewards.dense_prm.steps import messages_of, text_of


@dataclass(frozen=True)
class Reading:
    """One input of the reward model.

    Attributes:
        ids: its tokens.
        positions: where a value is read, one position per step.
    """

    ids: Sequence[int]
    positions: Sequence[int]


def read_steps(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """Return the input for a response and the position of the value of every step.

    Raises:
        ValueError: the number of positions is not the number of steps (a tag that the tokenizer
            splits, or that the text itself holds).
    """
    reading = _LAYOUTS[preset.layout](example, steps, tokenizer, preset)
    if len(reading.positions) != len(steps):
        raise ValueError(
            f"{len(steps)} steps, but {len(reading.positions)} positions of the tag {preset.tag!r} "
            "in the model's tokens. Use the preset and the tokenizer that the model was trained "
            "with"
        )
    return reading


def _piecewise(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """[BOS] prompt, then step and tag by turns, each tokenized alone; read at the tag's last id."""
    tag = _ids(tokenizer, preset.tag)
    ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids += _ids(tokenizer, text_of(example.prompt) + preset.prompt_end)
    positions = []
    for step in steps:
        ids += _ids(tokenizer, step) + (tag if preset.whole_tag else tag[-1:])
        positions.append(len(ids) - 1)
    return Reading(ids, positions)


def _tagged_chat(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """A chat whose answer has the tag behind every step; read at the tag."""
    answer = "".join(step + preset.tag for step in steps)
    messages = [
        *messages_of(example.prompt, preset.system),
        {"role": "assistant", "content": answer},
    ]
    ids = _ids(tokenizer, tokenizer.apply_chat_template(messages, tokenize=False))
    return Reading(ids, _where(ids, _ids(tokenizer, preset.tag)[-1]))


def _tagged_text(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """prompt + ' ' + the steps, the tag behind each; read at the tag."""
    prompt = text_of(example.prompt).strip() + " "
    body = "".join(step + preset.tag for step in steps).rstrip("\n" if preset.tag.strip() else "")
    ids = list(tokenizer(prompt + body)["input_ids"])
    num_prompt_ids = len(tokenizer(prompt)["input_ids"])
    marks = _where(ids, _tag_id(tokenizer, preset.tag))
    return Reading(ids, [p for p in marks if p >= num_prompt_ids - 1])


def _turns(example: Example, steps: Sequence[str], tokenizer: Any, preset: Preset) -> Reading:
    """The user says a step, the assistant says good, by turns; read where that is predicted."""
    asked = messages_of(example.prompt, preset.system)
    turns = [f"{asked[-1]['content']} {steps[0]}", *steps[1:]]

    def ids_with(answer: str) -> list[int]:
        messages = asked[:-1]
        for turn in turns:
            messages = [
                *messages,
                {"role": "user", "content": turn},
                {"role": "assistant", "content": answer},
            ]
        return _ids(tokenizer, tokenizer.apply_chat_template(messages, tokenize=False))

    # Wherever the ids of two answers differ, an answer stands; its template decides what is around.
    good, bad = ids_with(preset.good), ids_with(preset.bad)
    if len(good) != len(bad):
        raise ValueError(f"{preset.good!r} and {preset.bad!r} are not one token each here")
    return Reading(good, [i - 1 for i, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b])


_LAYOUTS: dict[str, Callable[[Example, Sequence[str], Any, Preset], Reading]] = {
    "piecewise": _piecewise,
    "tagged-chat": _tagged_chat,
    "tagged-text": _tagged_text,
    "turns": _turns,
}


def token_id(tokenizer: Any, text: str) -> int:
    """Return the id of a text that is one token (behind the space that a tokenizer may add).

    Raises:
        ValueError: it is several tokens.
    """
    ids = _ids(tokenizer, text)
    if len(ids) != 1:
        raise ValueError(
            f"{text!r} is {len(ids)} tokens of the reward model's tokenizer; the preset needs one"
        )
    return ids[0]


def _tag_id(tokenizer: Any, tag: str) -> int:
    """Return the id that marks a step: the last of the tag, line breaks behind it left out."""
    return _ids(tokenizer, tag.rstrip("\n") if tag.strip() else tag)[-1]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _where(ids: Sequence[int], wanted: int) -> list[int]:
    return [position for position, token in enumerate(ids) if token == wanted]
