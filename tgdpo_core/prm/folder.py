"""The folder of a reward model: appears when it is whole, and takes the place of nothing else."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.models.model_folders import replaced, require_replaceable
from tgdpo_core.prm.record import is_done, read_record

RECORD = "prm.json"
_WHAT = f"reward model of train-prm ({RECORD})"


def holds_model(output: Path, options: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Return whether a folder holds the reward model that is asked for, so that nothing is to do.

    Args:
        output: the folder.
        options: everything that decides what the model is.
        overwrite: make it anew, whatever reward model the folder holds.

    Raises:
        UsageError: it holds what no reward model of ours left, or another reward model and may not
            be overwritten.
    """
    if not overwrite and is_done(output / RECORD, options):
        return True
    require_replaceable(output, _is_reward_model, _WHAT)
    return False


@contextlib.contextmanager
def filled(output: Path) -> Iterator[Path]:
    """Give a folder that takes the place of ``output`` when it is filled.

    Raises:
        UsageError: it cannot be written, or the place holds what no reward model of ours left.
    """
    try:
        with replaced(output, partial(require_replaceable, output, _is_reward_model, _WHAT)) as new:
            yield new
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error}") from error


def _is_reward_model(folder: Path) -> bool:
    """Whether a folder holds what ``write_record`` leaves, and no other JSON of that name."""
    record = folder / RECORD
    return record.is_file() and {"options", "measured"} <= read_record(record).keys()
