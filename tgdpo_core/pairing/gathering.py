"""The answers of several models, and those that rows bring, gathered by prompt."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tgdpo_core.data.pairs import SIDES, PreferencePair
from tgdpo_core.generation.answers import AnsweredPrompt, question_key
from tgdpo_core.generation.prompts import columns_of
from tgdpo_core.pairing.candidates import Candidate

REPEATED = "prompt given before"
REPEATED_OTHERWISE = "prompt given before, with other columns"
SEVERAL_MESSAGES = "given response of several messages"
NO_ANSWERS = "given row without answers of a model"


@dataclass
class Question:
    """A prompt and everything that was answered to it.

    Attributes:
        prompt: text or list of messages.
        columns: the other columns of the row.
        answers: in the order in which models were named, then in that of their draws.
    """

    prompt: Any
    columns: Mapping[str, Any]
    answers: list[Candidate] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Names the prompt by its content."""
        return question_key(self.prompt, self.columns)


@dataclass
class Gathered:
    """All prompts.

    Attributes:
        questions: by key, in the order of the first model.
        notes: what was found and not used, counted by name.
    """

    questions: dict[str, Question] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def add_model(self, model: str, answered: Iterable[AnsweredPrompt]) -> None:
        """Take the answers of a model; of a prompt that it was given twice, the first ones."""
        seen: set[str] = set()
        for item in answered:
            key = item.key
            if key in seen:
                same = item.columns == self.questions[key].columns
                self.notes[REPEATED if same else REPEATED_OTHERWISE] += 1
                continue
            seen.add(key)
            question = self.questions.setdefault(key, Question(item.prompt, item.columns))
            question.answers += [
                Candidate(a.text, model, a.finished, a.num_tokens, a.seed) for a in item.answers
            ]

    def add_given(self, pairs: Sequence[PreferencePair]) -> None:
        """Take the responses of rows as answers to their prompts, where these were answered."""
        for pair in pairs:
            question = self.questions.get(question_key(pair.prompt, columns_of(pair)))
            if question is None:
                self.notes[NO_ANSWERS] += 1
                continue
            for side in SIDES:
                response = pair.response(side)
                if not isinstance(response, str):
                    if len(response) != 1 or not isinstance(response[0].get("content"), str):
                        self.notes[SEVERAL_MESSAGES] += 1
                        continue
                    response = response[0]["content"]
                # What goes on in the data set is no answer that ended.
                source, finished = f"given {side}", pair.is_finished(side)
                question.answers.append(Candidate(response, source, finished))
