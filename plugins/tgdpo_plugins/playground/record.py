"""The record of a finished preparation step, by which it is not done twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tgdpo_core import TgdpoError, prm


def is_done(record: Path, options: Mapping[str, Any]) -> bool:
    """Return whether a step was finished with these options; a step without a record was not.

    Raises:
        click.UsageError: it was finished with other options.
    """
    try:
        return prm.is_done(record, options)
    except TgdpoError as error:
        raise click.UsageError(str(error)) from error


def write_record(record: Path, options: Mapping[str, Any], **facts: object) -> None:
    """Write the options of a finished step, and what else is worth knowing about it."""
    prm.write_record(record, options, **facts)
