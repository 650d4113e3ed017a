"""A few questions of each form, written for these tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.generation.answers import Answer

MT_BENCH = [
    {"question_id": 82, "category": "writing", "turns": ["Write a line.", "Now shorter."]},
    {"question_id": 81, "category": "math", "turns": ["What is 1 + 1?", "And twice that?"]},
    {"question_id": 150, "category": "stem", "turns": ["What is heat?", "And cold?"]},
    {"question_id": 7, "category": "gardening", "turns": ["When do tulips flower?", "Why then?"]},
]
ALPACA = [
    {"instruction": "Name a colour.", "dataset": "own", "output": "Red.", "generator": "reference"},
    {"instruction": "Name a tree.", "dataset": "own"},
]
ARENA_V01 = [
    {"question_id": "a1", "category": "arena-hard-v0.1", "turns": [{"content": "Sort a list."}]},
    {"question_id": "a2", "category": "arena-hard-v0.1", "turns": [{"content": "Sum a list."}]},
]
ARENA_V2 = [
    {"uid": "u1", "category": "hard_prompt", "subcategory": "coding", "prompt": "Sort a list."},
    {"uid": "u2", "category": "creative_writing", "prompt": "A poem on lists."},
]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    """Write one object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Echo:
    """Answers with what it was asked, and notes how it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[str]]] = []

    def __call__(
        self, prompts: Sequence[Any], *, temperature: float, num_answers: int
    ) -> list[list[Answer]]:
        self.calls.append((temperature, [prompt[-1]["content"] for prompt in prompts]))
        return [
            [
                Answer(f" {temperature} #{i}: {prompt[-1]['content']} ", True, 5, None)
                for i in range(num_answers)
            ]
            for prompt in prompts
        ]
