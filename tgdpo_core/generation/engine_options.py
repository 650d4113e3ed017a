"""Options of an engine, read from ``KEY=VALUE`` into its dataclass."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from tgdpo_core.errors import UsageError, did_you_mean

T = TypeVar("T")


def read_options(kind: type[T], args: Mapping[str, str], engine: str) -> T:
    """Return the options of an engine.

    Args:
        kind: their dataclass; fields of text, whole numbers and numbers.
        args: names to texts.
        engine: how messages name it.

    Raises:
        UsageError: an unknown or missing option, or a value that is no number.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type] # a dataclass
    values: dict[str, Any] = {}
    for name, text in args.items():
        if name not in known:
            raise UsageError(
                f"The engine {engine} has no option '{name}'. {did_you_mean(name, known)}"
            )
        values[name] = _value(text, known[name].type, f"engine {engine}, {name}")
    for name, field in known.items():
        if field.default is MISSING and name not in values:
            raise UsageError(
                f"The engine {engine} needs {name}: --engine-arg {name}=VALUE "
                f"(options: {', '.join(known)})."
            )
    return kind(**values)


def _value(text: str, kind: Any, what: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"{what} must be a number, got {text!r}.") from error
