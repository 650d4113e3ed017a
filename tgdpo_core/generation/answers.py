"""Answers to prompts, and the file they are kept in: one JSON object a prompt."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tgdpo_core.errors import DataError

LAID_OUT = ("tools", "chat_template_kwargs")
"""Columns that a chat template lays out beside the messages."""


@dataclass(frozen=True)
class Answer:
    """What a model answered once.

    Attributes:
        text: of the answer, without the token that ended it.
        finished: whether the model ended it itself; False: it was cut at the most tokens allowed.
        num_tokens: of the answer, the one that ended it included.
        seed: of the draw; None: greedy.
    """

    text: str
    finished: bool
    num_tokens: int
    seed: int | None = None


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt and the answers of one model.

    Attributes:
        prompt: text or list of messages.
        answers: in the order of their draws; the greedy one, if there is one, first.
        columns: the other columns of the prompt's row.
    """

    prompt: Any
    answers: tuple[Answer, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of what was asked, by which the answers of several models are put together."""
        return question_key(self.prompt, self.columns)


def question_key(prompt: Any, columns: Mapping[str, Any]) -> str:
    """Return 24 hexadecimal digits that name what a model was asked: prompt, tools, variables.

    Args:
        prompt: text or messages.
        columns: of its row: ``tools`` and ``chat_template_kwargs`` are laid out with the prompt.
    """
    beside = {name: columns[name] for name in LAID_OUT if columns.get(name)}
    return prompt_key([prompt, beside] if beside else prompt)


def prompt_key(prompt: Any) -> str:
    """Return 24 hexadecimal digits that name a prompt by its content."""
    text = json.dumps(prompt, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def write_answers(path: Path, answered: Iterable[AnsweredPrompt]) -> None:
    """Write one line of JSON a prompt."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(item), default=str) + "\n" for item in answered)


def read_answers(path: Path) -> Iterator[AnsweredPrompt]:
    """Yield what ``write_answers`` wrote; empty lines are none.

    Raises:
        DataError: a line is not of that form; file and line are named.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield _read(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))
            except (ValueError, TypeError, KeyError) as error:
                said = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise DataError(
                    f"{path}:{number}: not a line of answers ({said}); expected an object with "
                    "prompt, answers [{text, finished, num_tokens, seed}] and columns."
                ) from error


def _read(item: Any) -> AnsweredPrompt:
    """Return a line's prompt and answers.

    Raises:
        ValueError, TypeError, KeyError: something is missing, or of another kind.
    """
    prompt, answers, columns = item["prompt"], item["answers"], item["columns"]
    is_chat = isinstance(prompt, list) and all(isinstance(turn, dict) for turn in prompt)
    _require("prompt", prompt, isinstance(prompt, str) or (is_chat and prompt), "text or messages")
    _require("answers", answers, isinstance(answers, list), "a list")
    _require("columns", columns, isinstance(columns, dict), "an object")
    return AnsweredPrompt(prompt, tuple(map(_read_answer, answers)), columns)


def _read_answer(found: Any) -> Answer:
    _require("answers", found, isinstance(found, dict), "a list of objects")
    answer = Answer(**found)
    _require("text", answer.text, isinstance(answer.text, str), "text")
    _require("finished", answer.finished, isinstance(answer.finished, bool), "true or false")
    is_count = _is_integer(answer.num_tokens) and answer.num_tokens >= 0
    _require("num_tokens", answer.num_tokens, is_count, "an integer from 0")
    is_seed = answer.seed is None or _is_integer(answer.seed)
    _require("seed", answer.seed, is_seed, "an integer or null")
    return answer


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(name: str, value: Any, is_right: Any, expected: str) -> None:
    if not is_right:
        raise ValueError(f"'{name}' must be {expected}, found {value!r:.60}")
