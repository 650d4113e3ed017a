"""The judge ``rules``: instructions that can be checked without a model, as in IFEval."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tgdpo_core import Generation, Judge, Unjudged, option
from tgdpo_plugins.judges.rules.casing import require_package
from tgdpo_plugins.judges.rules.instructions import Instruction, from_columns, from_options
from tgdpo_plugins.judges.rules.parts import Span

_NUM_TEXT = 40  # characters of a prompt in messages
NO_RULES = Unjudged("a row without instructions")


class Rules(Judge):
    """Does an answer follow its instructions: length, keywords, format, language, case (IFEval)?

    The instructions stand in the rows, in IFEval's own columns, or are the same for all of them
    (rules=). 1 where all are followed, else 0; scores=share: the share of them that is. An empty
    answer follows none, as in IFEval. The characters that break an instruction are its error
    spans.
    """

    rules: list[dict[str, Any]] = option(
        default_factory=list,
        help='instructions for every row: [{"id": "punctuation:no_comma"}, ...]; unset: the rows\'',
    )
    ids_column: str = option("instruction_id_list", help="column of the instructions' names")
    arguments_column: str = option("kwargs", help="column of their arguments")
    accuracy: Literal["strict", "loose"] = option(
        "strict", help="loose: also without first or last line, or asterisks, as IFEval defines it"
    )
    scores: Literal["all", "share"] = option(
        "all", help="1 if all instructions are followed, or the share of them that is"
    )

    def __post_init__(self) -> None:
        """Read the instructions that hold for every row."""
        self._given = from_options(self.rules)
        self._counts: Counter[str] = Counter()
        self._by_id: dict[str, Counter[str]] = {}

    def validate(self) -> None:
        """Refuse instructions about languages without the package that tells them."""
        if any(each.needs_language for each in self._given):
            require_package()

    def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        """Return a score each; ``Unjudged`` for a row without instructions.

        Raises:
            ValueError: the columns of a row have another form, or name an unknown instruction.
        """
        return [self._score(item) for item in batch]

    def _score(self, item: Generation) -> float | Unjudged:
        instructions = self.instructions_of(item.columns, item.prompt)
        if not instructions:
            return NO_RULES
        strict = [each.check(item.response).followed for each in instructions]
        loose = [each.is_followed_loosely(item.response) for each in instructions]
        self._count(instructions, strict, loose)
        followed = strict if self.accuracy == "strict" else loose
        return float(all(followed)) if self.scores == "all" else sum(followed) / len(followed)

    def instructions_of(self, columns: Mapping[str, Any], prompt: Any) -> tuple[Instruction, ...]:
        """Return the instructions of a row; none where it has no such columns.

        Raises:
            ValueError: see ``score``; the prompt is named.
        """
        if self._given:
            return self._given
        ids = columns.get(self.ids_column)
        if ids is None:
            return ()
        try:
            return from_columns(
                ids,
                columns.get(self.arguments_column),
                ids_column=self.ids_column,
                arguments_column=self.arguments_column,
            )
        except ValueError as error:
            raise ValueError(f"the prompt {str(prompt)[:_NUM_TEXT]!r}: {error}") from error

    def error_spans(self, batch: Sequence[Generation]) -> list[list[Span]] | None:
        """Return the characters that break an instruction; None where no row has instructions."""
        found = [self.instructions_of(item.columns, item.prompt) for item in batch]
        if not any(found):
            return None
        return [broken_spans(each, item.response) for each, item in zip(found, batch, strict=True)]

    def _count(
        self, instructions: Sequence[Instruction], strict: Sequence[bool], loose: Sequence[bool]
    ) -> None:
        self._counts.update(
            prompts=1,
            instructions=len(instructions),
            prompts_strict=int(all(strict)),
            prompts_loose=int(all(loose)),
            instructions_strict=sum(strict),
            instructions_loose=sum(loose),
        )
        for each, one, other in zip(instructions, strict, loose, strict=True):
            self._by_id.setdefault(each.id, Counter()).update(
                asked=1, strict=int(one), loose=int(other)
            )

    def record(self) -> Mapping[str, Any]:
        """Return IFEval's four accuracies over all that was judged, and counts by instruction."""
        counts = self._counts
        accuracies = {
            f"{unit[:-1]}_{how}_accuracy": counts[f"{unit}_{how}"] / counts[unit]
            for unit in ("prompts", "instructions")
            for how in ("strict", "loose")
            if counts[unit]
        }
        by_id = {name: dict(found) for name, found in sorted(self._by_id.items())}
        return {
            "prompts": counts["prompts"],
            "instructions": counts["instructions"],
            **accuracies,
            "by_instruction": by_id,
        }


def broken_spans(instructions: Sequence[Instruction], text: str) -> list[Span]:
    """Return the characters of a text that break instructions, in order, each span once."""
    return sorted({span for each in instructions for span in each.check(text).spans})
