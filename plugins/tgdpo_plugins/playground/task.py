"""The 'chain' task: a tiny language with many right answers and an exact place for every mistake.

A prompt is a sum to be worked out from left to right, modulo 10: ``3+4*2-5+1*7=``. An answer takes
one step per operator: one or two filler words, which are free (style), then the operator and the
operand, copied from the prompt, and the digit that the step gives:

    prompt  3+4*2-5+1*7=
    answer   so +47 then *24 now  next -59 and +10 thus *70

Everything here is text and pure Python; a *piece* is the text of one token.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

NUM_STEPS = 5
DIGITS = tuple("0123456789")
OPERATORS = ("+", "-", "*")
FILLERS = (" so ", " then ", " now ", " next ", " and ", " thus ", " well ", " here ")
MAX_FILLERS = 2
EQUALS = "="
END = ""
"""The piece of the end-of-sequence token, which has no text."""

PIECE_PATTERN = " [a-z]+ |."
"""Regular expression of one piece; what precedes a piece never changes where it starts."""
_PIECE = re.compile(PIECE_PATTERN, re.DOTALL)
_PROMPT = re.compile(r"[0-9]([-+*][0-9])+=", re.ASCII)

_TWO_FILLERS_PROBABILITY = 0.3
_FILLER_STRIDES = (0, 1, 1, 2, 3)  # uneven, so that the choice of fillers is a style to learn

ResultOf = Callable[[str, str, str], str]
"""``(operator, left, right)`` to the digit that is written down."""


@dataclass(frozen=True)
class Step:
    """One operator of a prompt and its operand."""

    operator: str
    operand: str


@dataclass(frozen=True)
class Problem:
    """A prompt, taken apart."""

    start: str
    steps: tuple[Step, ...]


class Label(StrEnum):
    """What the checker says about one piece."""

    FILLER = "filler"
    CORRECT = "correct"
    ERROR = "error"
    AFTER_BREAK = "after-break"


@dataclass(frozen=True)
class Verdict:
    """What the checker says about an answer.

    Attributes:
        labels: one per piece.
        num_errors: wrong digits, and every step that is missing because the form broke.
        solved: whether the answer is right to the end, and ends.
    """

    labels: tuple[Label, ...]
    num_errors: int
    solved: bool


def split_pieces(text: str) -> list[str]:
    """Return the pieces of a text; joined, they are the text again."""
    return _PIECE.findall(text)


def apply_operator(operator: str, left: str, right: str) -> str:
    """Return the digit of ``left operator right`` modulo 10."""
    a, b = int(left), int(right)
    value = {"+": a + b, "-": a - b, "*": a * b}[operator]
    return DIGITS[value % 10]


def make_prompt(
    rng: random.Random, *, operators: Sequence[str] = OPERATORS, num_steps: int = NUM_STEPS
) -> str:
    """Return a prompt drawn uniformly from all of its length with these operators."""
    steps = [rng.choice(operators) + rng.choice(DIGITS) for _ in range(num_steps)]
    return rng.choice(DIGITS) + "".join(steps) + "="


def parse_prompt(prompt: object) -> Problem:
    """Return the start and the steps of a prompt.

    Raises:
        ValueError: it is not a prompt of this task.
    """
    if not isinstance(prompt, str) or not _PROMPT.fullmatch(prompt):
        raise ValueError(
            f"Not a playground prompt: {prompt!r}. Allowed: a digit, then operators (+, -, *) with "
            "a digit each, then '=', without spaces, e.g. '3+4*2-5+1*7='."
        )
    pairs = zip(prompt[1:-1:2], prompt[2:-1:2], strict=True)
    return Problem(start=prompt[0], steps=tuple(Step(*pair) for pair in pairs))


def write_answer(prompt: str, rng: random.Random, *, result_of: ResultOf) -> str:
    """Return an answer of the right form whose results come from ``result_of``."""
    problem = parse_prompt(prompt)
    value, style = problem.start, rng.randrange(len(FILLERS))
    pieces: list[str] = []
    for step in problem.steps:
        for _ in range(2 if rng.random() < _TWO_FILLERS_PROBABILITY else 1):
            style = (style + rng.choice(_FILLER_STRIDES)) % len(FILLERS)
            pieces.append(FILLERS[style])
        value = result_of(step.operator, value, step.operand)
        pieces += [step.operator, step.operand, value]
    return "".join(pieces)


def solve(prompt: str, rng: random.Random) -> str:
    """Return a right answer; ``rng`` chooses the fillers."""
    return write_answer(prompt, rng, result_of=apply_operator)


def true_result(prompt: str) -> str:
    """Return the last digit of a right answer: what an answer key gives.

    Raises:
        ValueError: it is not a prompt of this task.
    """
    problem = parse_prompt(prompt)
    value = problem.start
    for step in problem.steps:
        value = apply_operator(step.operator, value, step.operand)
    return value


def stated_result(text: str) -> str | None:
    """Return the digit that a text ends in, right or wrong; None if it ends in something else."""
    return text[-1] if text and text[-1] in DIGITS else None


def step_ends(pieces: Sequence[str]) -> list[int]:
    """Return how many pieces there are up to the end of each step: a digit behind a digit.

    This is what an answer looks like, not whether it is right.
    """
    return [
        number + 1
        for number in range(1, len(pieces))
        if pieces[number - 1] in DIGITS and pieces[number] in DIGITS
    ]


def check(prompt: str, pieces: Sequence[str]) -> Verdict:
    """Return what is right and wrong in an answer.

    Errors are local: a step is judged by the value written before it, so one wrong digit is one
    error even though the final value is then wrong. A piece that breaks the form (a copy that
    differs, no filler or too many, an early end, text after the end) is an error, and nothing
    after it is judged; it counts for every step that is still missing.

    Args:
        prompt: a prompt of the task.
        pieces: the pieces of the answer, with ``END`` last if the answer was ended.

    Raises:
        ValueError: ``prompt`` is not a prompt of this task.
    """
    reader = _Reader(parse_prompt(prompt))
    labels = tuple(reader.read(piece) for piece in pieces)
    num_errors = reader.num_wrong + reader.num_missing()
    return Verdict(labels, num_errors, solved=num_errors == 0)


def check_text(prompt: str, response: str) -> Verdict:
    """Return what is right and wrong in an answer that was ended after ``response``."""
    return check(prompt, [*split_pieces(response), END])


class _Reader:
    """Reads an answer piece by piece; the state between two pieces."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._value = problem.start  # the digit written last, right or wrong
        self._step_pieces: list[str] = []  # operator and operand of the step that is being read
        self._num_fillers = 0
        self._num_done = 0
        self._ended = False
        self._broken = False
        self.num_wrong = 0

    def read(self, piece: str) -> Label:
        """Return the label of the next piece."""
        if self._broken:
            return Label.AFTER_BREAK
        label = self._label(piece)
        if label is None:
            self._broken = True
            return Label.ERROR
        return label

    def num_missing(self) -> int:
        """Return how many errors an answer that stops here has beyond its wrong digits."""
        if self._ended and not self._broken:
            return 0
        return max(1, len(self._problem.steps) - self._num_done)

    def _label(self, piece: str) -> Label | None:
        """Return the label of a piece that fits the form, None for one that breaks it."""
        if self._ended:
            return None
        if self._step_pieces:
            return (
                self._read_operand(piece)
                if len(self._step_pieces) == 1
                else self._read_result(piece)
            )
        if piece in FILLERS and self._num_fillers < MAX_FILLERS:
            self._num_fillers += 1
            return Label.FILLER
        if self._num_done == len(self._problem.steps):
            self._ended = piece == END and self._num_fillers == 0
            return Label.CORRECT if self._ended else None
        if self._num_fillers and piece == self._step.operator:
            self._step_pieces.append(piece)
            return Label.CORRECT
        return None

    def _read_operand(self, piece: str) -> Label | None:
        self._step_pieces.append(piece)
        return Label.CORRECT if piece == self._step.operand else None

    def _read_result(self, piece: str) -> Label | None:
        if piece not in DIGITS:
            return None
        right = piece == apply_operator(self._step.operator, self._value, self._step.operand)
        self.num_wrong += not right
        self._value = piece
        self._step_pieces, self._num_fillers = [], 0
        self._num_done += 1
        return Label.CORRECT if right else Label.ERROR

    @property
    def _step(self) -> Step:
        return self._problem.steps[self._num_done]
