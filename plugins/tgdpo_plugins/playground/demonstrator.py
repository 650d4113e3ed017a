"""The imperfect demonstrator, whose known defects the base model learns.

It knows the form of an answer, but not the whole table of 300 results: for some entries it often
writes a wrong digit, and always the same one. So a wrong answer of the base model has a cause that
can be named, and a method that finds the cause can be told from one that does not.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tgdpo_plugins.playground.task import DIGITS, OPERATORS, apply_operator, write_answer

DEFECT_SHARE = 0.4
DEFECT_RATES = (0.15, 0.7)
BACKGROUND_RATE = 0.02

Entry = tuple[str, str, str]
"""``(operator, left, right)``: one entry of the table of results."""


@dataclass(frozen=True)
class Habit:
    """How an entry of the table is answered: ``favourite`` at ``error_rate``, else rightly."""

    error_rate: float
    favourite: str


@dataclass(frozen=True)
class Demonstrator:
    """Answers prompts with habits, one per entry of the table."""

    habits: Mapping[Entry, Habit]

    @classmethod
    def draw(cls, rng: random.Random) -> "Demonstrator":
        """Return a demonstrator with random defects."""
        entries = list(product(OPERATORS, DIGITS, DIGITS))
        # An exact share, so that every seed gives a task of about the same difficulty.
        defective = set(rng.sample(entries, round(DEFECT_SHARE * len(entries))))
        return cls({entry: _draw_habit(entry, rng, entry in defective) for entry in entries})

    def answer(self, prompt: str, rng: random.Random) -> str:
        """Return an answer of the right form, with this demonstrator's mistakes."""

        def result_of(operator: str, left: str, right: str) -> str:
            habit = self.habits[operator, left, right]
            if rng.random() < habit.error_rate:
                return habit.favourite
            return apply_operator(operator, left, right)

        return write_answer(prompt, rng, result_of=result_of)

    def save(self, path: Path) -> None:
        """Write the table of habits as JSON, one line per entry: ``"3+4": {...}``."""
        lines = [
            f"  {json.dumps(left + operator + right)}: {json.dumps(vars(habit))}"
            for (operator, left, right), habit in self.habits.items()
        ]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _draw_habit(entry: Entry, rng: random.Random, defective: bool) -> Habit:
    error_rate = round(rng.uniform(*DEFECT_RATES), 4) if defective else BACKGROUND_RATE
    distance = rng.randrange(1, len(DIGITS))
    favourite = DIGITS[(int(apply_operator(*entry)) + distance) % len(DIGITS)]
    return Habit(error_rate=error_rate, favourite=favourite)
