"""The record of a finished preparation step, by which it is not done twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import UsageError


def is_done(record: Path, options: Mapping[str, Any]) -> bool:
    """Return whether a step was finished with these options; a step without a record was not.

    Args:
        record: the file that ``write_record`` writes when all else is in place.
        options: everything that decides what the step makes.

    Raises:
        UsageError: it was finished with other options.
    """
    if not record.is_file():
        return False
    made: dict[str, Any] = dict(read_record(record).get("options") or {})
    differing = [name for name in {**made, **options} if made.get(name) != options.get(name)]
    if not differing:
        return True
    raise UsageError(
        f"{record.parent} was made with other options: {_named(made, differing)}. Asked for: "
        f"{_named(options, differing)}. Give another folder, or delete that one."
    )


def read_record(record: Path) -> dict[str, Any]:
    """Return what ``write_record`` wrote.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{record} cannot be read: {error}. Give another folder.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{record} is no record of a finished step. Give another folder.")
    return content


def write_record(record: Path, options: Mapping[str, Any], **facts: object) -> None:
    """Write the options of a finished step, and what else is worth knowing about it."""
    document = {"options": options, **facts}
    record.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _named(options: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name}={options.get(name)}" for name in names)
