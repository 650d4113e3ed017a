"""What is sent to a reward server and how its answers are read. Pure functions, no network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tgdpo_core import Example, Spans
from tgdpo_plugins.token_rewards.dense_prm.steps import Steps

Protocol = Literal["json", "pooling", "score"]
Unit = Literal["step", "response", "token"]


@dataclass(frozen=True)
class Asking:
    """How one response is put to a server.

    Attributes:
        protocol: see ``docs/remote-rewards.md``.
        unit: what gets a value of its own.
        model: name of the served model; empty: none is sent.
        separator: ends a step.
        step_tag: stands behind every step (``pooling``).
        label: which number of a row is the value (``pooling``).
        chat: whether text prompts are sent as messages (``pooling``).
        system: a system message in front of them, or None.
    """

    protocol: Protocol
    unit: Unit
    model: str
    separator: str
    step_tag: str
    label: int
    chat: bool
    system: str | None

    def body(self, example: Example, steps: Steps) -> dict[str, Any]:
        """Return the JSON that is sent.

        Args:
            example: a response.
            steps: the parts of it that get values: its steps, or all of it as one.
        """
        body = {"json": self._plain, "pooling": self._pooling, "score": self._score}[self.protocol](
            example, steps
        )
        return {"model": self.model, **body} if self.model else body

    def values(self, answer: Any, example: Example, steps: Steps) -> "list[float] | Spans":
        """Return the values in an answer: one a step, one a token, or spans.

        Raises:
            ValueError: the answer has another form, another number of values, or one that is no
                finite number.
        """
        if self.protocol == "json":
            return _plain_values(answer, example, steps, self.unit)
        rows = _field(answer, "data")
        if self.protocol == "score":
            rows = sorted(rows, key=lambda row: _field(row, "index"))
            scores = [_field(row, "score") for row in rows]
            return _numbers([_only(score) for score in scores], len(steps.texts), "scores")
        if len(rows) != 1:
            raise ValueError(f"the server's answer has {len(rows)} items in 'data' for one input")
        return self._pooled(_field(rows[0], "data"), example, steps)

    # -- what is sent -----------------------------------------------------------------------------

    def _plain(self, example: Example, steps: Steps) -> dict[str, Any]:
        if self.unit == "token":
            offsets = [list(pair) for pair in example.offsets]
            return {"prompt": example.prompt, "response": example.response, "offsets": offsets}
        said = {"prompt": example.prompt, "response": _text(example.raw_response)}
        return {**said, "steps": list(steps.texts)} if self.unit == "step" else said

    def _pooling(self, example: Example, steps: Steps) -> dict[str, Any]:
        if self.unit == "token":
            return {"input": [*example.prompt_ids, *example.response_ids]}
        tag = self.step_tag if self.unit == "step" else ""
        response = "".join(text + tag for text in steps.texts)
        if not self.chat:
            if not isinstance(example.prompt, str):
                raise ValueError(
                    "chat=false joins prompt and response as text; this prompt is a "
                    "list of messages: use chat=true"
                )
            return {"input": example.prompt + response}
        prompt = example.prompt
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"messages": [*system, *messages, {"role": "assistant", "content": response}]}

    def _score(self, example: Example, steps: Steps) -> dict[str, Any]:
        texts = steps.texts
        so_far = [self.separator.join(texts[: k + 1]) for k in range(len(texts))]
        return {"text_1": _text(example.prompt), "text_2": so_far}

    # -- what comes back --------------------------------------------------------------------------

    def _pooled(self, rows: Any, example: Example, steps: Steps) -> list[float]:
        if self.unit == "token":
            expected = len(example.prompt_ids) + len(example.response_ids)
        else:
            expected = len(steps.texts)
        is_flat = isinstance(rows, list) and not any(isinstance(row, list) for row in rows)
        if self.unit == "response" and is_flat:  # the labels of the whole
            rows = [rows]
        if not isinstance(rows, list) or len(rows) != expected:
            found = f"{len(rows)} rows" if isinstance(rows, list) else _shown(rows)
            raise ValueError(
                f"the server's answer has {found} for {expected} "
                f"{'tokens' if self.unit == 'token' else 'steps'}"
                + (": does the server pool by step_tag?" if self.unit == "step" else "")
            )
        values = _numbers([self._labelled(row) for row in rows], expected, "rows")
        return values[len(example.prompt_ids) :] if self.unit == "token" else values

    def _labelled(self, row: Any) -> Any:
        if not isinstance(row, list):
            return row
        if not -len(row) <= self.label < len(row):
            raise ValueError(
                f"label={self.label}: a row of the server's answer has {len(row)} numbers"
            )
        return row[self.label]


def _plain_values(answer: Any, example: Example, steps: Steps, unit: Unit) -> "list[float] | Spans":
    """Return the values of the plain protocol."""
    if unit == "step":
        return _numbers(_field(answer, "scores"), len(steps.texts), "scores")
    if unit == "response":
        return _numbers([_field(answer, "score")], 1, "score")
    if isinstance(answer, Mapping) and "spans" in answer:
        return Spans([_span(span) for span in _field(answer, "spans")])
    return _numbers(_field(answer, "values"), len(example.response_ids), "values")


def _span(span: Any) -> tuple[int, int, float]:
    if not isinstance(span, list) or len(span) != 3:
        raise ValueError(f"a span of the server's answer is {_shown(span)}, no [start, end, value]")
    start, end, value = span
    return start, end, _numbers([value], 1, "spans")[0]


def _field(answer: Any, name: str) -> Any:
    if not isinstance(answer, Mapping) or name not in answer:
        raise ValueError(f"the server's answer has no '{name}': {_shown(answer)}")
    return answer[name]


def _only(score: Any) -> Any:
    """Return the number in a list of one: older servers of /score wrap it."""
    return score[0] if isinstance(score, list) and len(score) == 1 else score


def _numbers(values: Any, expected: int, name: str) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != expected:
        found = len(values) if isinstance(values, list) else _shown(values)
        raise ValueError(f"'{name}' of the server's answer: got {found}, expected {expected}")
    for k, value in enumerate(values):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(
                f"'{name}' of the server's answer, number {k}: {_shown(value)} is no finite number"
            )
    return [float(value) for value in values]


def _text(said: Any) -> str:
    """Return the text of a prompt or response of one message."""
    if isinstance(said, str):
        return said
    if len(said) == 1 and isinstance(said[0].get("content"), str):
        return str(said[0]["content"])
    raise ValueError(
        f"this protocol takes one text, the row has {len(said)} messages: use protocol=pooling"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
