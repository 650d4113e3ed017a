"""The prompts that a judge is asked with: text files with a part for each message."""

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tgdpo_plugins.judges.llm.conversation import Conversation, Turn

if TYPE_CHECKING:
    import jinja2

_ROLE = re.compile(r"^=== (system|user|assistant)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class PromptTemplate:
    """Messages with places for what is judged.

    Attributes:
        parts: role and Jinja template of each message.
        name: of the file, for messages.
    """

    parts: "tuple[tuple[str, jinja2.Template], ...]"
    name: str

    def messages(self, values: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the messages; those that come out blank are left out.

        Raises:
            ValueError: a name that is not among the values, or another fault of the template.
        """
        import jinja2

        try:
            texts = [(role, part.render(values).strip()) for role, part in self.parts]
        except (jinja2.TemplateError, TypeError, LookupError) as error:
            raise ValueError(
                f"template {self.name}: {error}. It may use {', '.join(sorted(values))}"
            ) from error
        return [{"role": role, "content": text} for role, text in texts if text]


def shipped(style: str, mode: str) -> PromptTemplate:
    """Return a template that comes along."""
    name = f"{style}-{mode}.txt"
    folder = importlib.resources.files("tgdpo_plugins") / "judges" / "llm" / "templates"
    return _parsed((folder / name).read_text(encoding="utf-8"), name)


def from_file(path: str) -> PromptTemplate:
    """Return the template in a user's file.

    Raises:
        ValueError: it cannot be read, is no Jinja, or has no user message.
    """
    try:
        return _parsed(Path(path).expanduser().read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"template {path}: {error}") from error


def single_values(shown: Conversation) -> dict[str, Any]:
    """Return what templates may use that ask about one answer."""
    return {
        "system": shown.system,
        "turns": shown.turns,
        "question": shown.question,
        "answer": shown.answer,
        **_references(shown),
    }


def pairwise_values(first: Conversation, second: Conversation) -> dict[str, Any]:
    """Return what templates may use that compare two answers; the first is A."""
    return {
        "system_a": first.system,
        "system_b": second.system,
        "turns_a": first.turns,
        "turns_b": second.turns,
        "question": first.question,
        "answer_a": first.answer,
        "answer_b": second.answer,
        **_references(first),
    }


def example(mode: str) -> dict[str, Any]:
    """Return values to try a template with."""
    shown = Conversation("Be brief.", (Turn("q", "a"), Turn("q", "a")), ("", "r"))
    return single_values(shown) if mode == "single" else pairwise_values(shown, shown)


def _references(shown: Conversation) -> dict[str, Any]:
    return {
        "reference": shown.reference,
        "references": shown.references,
        "has_references": shown.has_references,
    }


def _parsed(text: str, name: str) -> PromptTemplate:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    _, *pieces = _ROLE.split(text)
    found: Sequence[tuple[str, str]] = list(zip(pieces[::2], pieces[1::2], strict=True))
    if "user" not in {role for role, _ in found}:
        raise ValueError(
            f"template {name} has no user message: write a line '=== user' above its text, and "
            "'=== system' above that of a system message"
        )
    try:
        return PromptTemplate(tuple((r, environment.from_string(t)) for r, t in found), name)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"template {name}: {error}") from error
