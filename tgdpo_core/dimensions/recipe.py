"""Which sets are measured, and how their rows are put."""

from pathlib import Path
from string import Formatter

from pydantic import Field, field_validator

from tgdpo_core.recipe.section import Section

_Paths = str | list[str] | None


class _Set(Section):
    path: _Paths = Field(None, description="File or files of rows; null: this set is left out.")

    @property
    def files(self) -> list[Path]:
        """The files that are named."""
        names = [self.path] if isinstance(self.path, str) else self.path or []
        return [Path(name).expanduser() for name in names]


def _with_fields(text: str, *names: str) -> str:
    found = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    if found != set(names):
        raise ValueError(f"must hold {{{'}, {'.join(names)}}} and no other field")
    return text


class TruthfulSet(_Set):
    """TruthfulQA's multiple choice."""

    prompt: str = Field("Q: {question}\nA:", description="The text before each choice.")

    @field_validator("prompt")
    @classmethod
    def _has_its_fields(cls, text: str) -> str:
        return _with_fields(text, "question")


class SafetySet(_Set):
    """Prompts that are safe or unsafe, as XSTest's."""

    max_new_tokens: int = Field(256, ge=1, description="Longest answer.")
    system: str | None = Field(None, description="A system message in front.")


class BiasSet(_Set):
    """BBQ's questions."""

    prompt: str = Field(
        "{context}\n{question}\nAnswer:", description="The text before each answer."
    )

    @field_validator("prompt")
    @classmethod
    def _has_its_fields(cls, text: str) -> str:
        return _with_fields(text, "context", "question")


class DimensionsRecipe(Section):
    """The sets of ``tgdpo evaluate --dimensions``."""

    truthfulqa: TruthfulSet = Field(default_factory=lambda: TruthfulSet())
    xstest: SafetySet = Field(default_factory=lambda: SafetySet())
    bbq: BiasSet = Field(default_factory=lambda: BiasSet())
