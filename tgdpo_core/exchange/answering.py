"""Answers of a model to the turns of benchmarks, through the door that all answers come by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError
from tgdpo_core.exchange.conversations import Messages
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.engine import Engine
from tgdpo_core.generation.sampling import Sampling


class AnswersOfModel:
    """A model that answers, with its engine.

    Attributes:
        num_kept: answers that the store had already.
    """

    def __init__(
        self, name: str, engine: Engine, sampling: Sampling, *, store: Path | None, raw: bool
    ) -> None:
        """Note how answers are drawn; temperature and number are those of each call.

        Args:
            name: for progress and messages.
            engine: what answers.
            sampling: most tokens, top-p and seed.
            store: where answers are kept and looked for first; None: nowhere.
            raw: go on from the text of a question as it is, without a chat template.
        """
        self._name, self._engine, self._sampling = name, engine, sampling
        self._store, self._raw = store, raw
        self.num_kept = 0

    def __call__(
        self, prompts: Sequence[Messages], *, temperature: float, num_answers: int
    ) -> Sequence[Sequence[Answer]]:
        """Return the answers; at temperature 0 the greedy one, as often as asked for.

        Raises:
            DataError: a prompt cannot be laid out, or ``raw`` and it is more than one message.
        """
        sampling = (
            replace(self._sampling, samples=num_answers, greedy=False, temperature=temperature)
            if temperature
            else replace(self._sampling, samples=0, greedy=True)
        )
        rows = [self._row(prompt, i) for i, prompt in enumerate(prompts, 1)]
        found = generate(self._engine, rows, sampling, store=self._store, label=self._name)
        self.num_kept += found.num_kept
        times = 1 if temperature else num_answers
        return [each.answers * times for each in found.answered]

    def _row(self, prompt: Messages, number: int) -> PreferencePair:
        where = f"question {number}, turn {sum(m['role'] == 'user' for m in prompt)}"
        if self._raw and len(prompt) > 1:
            raise DataError(
                f"{where}: --raw is for questions of one turn without a system message, found "
                f"{len(prompt)} messages. A model without a chat template cannot hold them apart."
            )
        text: Any = prompt[0]["content"] if self._raw else prompt
        return PreferencePair(text, "", "", where)
