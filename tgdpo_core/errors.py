"""Every error a user can cause, and the exit code it ends a command with.

    TgdpoError                  1   a bug of ours when raised as such
    ├── UsageError              2   a flag, a path, an output folder
    │   └── RecipeError         2   a key or a value of the recipe
    ├── DataError               3   a row, a file, a tokenizer that does not fit them
    ├── PluginError             4   a plugin that is unknown, broken, or returned nonsense
    ├── StoreError              5   the scoring store
    │   └── CheckpointError     5   a checkpoint or a run folder
    ├── NumericError            6   a loss or gradient that is not finite
    ├── MachineError            7   memory, a device, a server, or another process of the run
    └── Preempted              75   stopped from outside; the run can be resumed

A message says what went wrong, where (file, row, plugin), what was found, what is allowed and the
next step.
"""

import difflib
from collections.abc import Iterable


class TgdpoError(Exception):
    """Base of the tree; catch it to catch everything that is not a bug.

    Attributes:
        exit_code: of a command that ends with it.
        is_everyones: whether every process of the run raises it, so that the first one says it.
    """

    exit_code = 1
    is_everyones = False


class UsageError(TgdpoError):
    """A command or a Python call was given something it cannot use."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe has an unknown key or a value outside what is allowed."""


class DataError(TgdpoError):
    """Rows, files or their tokenization cannot be trained on."""

    exit_code = 3


class PluginError(TgdpoError):
    """A plugin is unknown, failed to load, raised, or broke its contract."""

    exit_code = 4


class StoreError(TgdpoError):
    """The scoring store cannot be read or written."""

    exit_code = 5


class CheckpointError(StoreError):
    """A checkpoint or a run folder is missing, incomplete or in the way."""


class NumericError(TgdpoError):
    """A loss, reward or gradient is not finite."""

    exit_code = 6


class MachineError(TgdpoError):
    """The machine failed the run: memory, a device, or another of its processes."""

    exit_code = 7


class Preempted(TgdpoError):
    """The process was told to stop; what it did can be resumed."""

    exit_code = 75


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return a sentence that helps with an unknown ``name``: the nearest names, then the list."""
    names = sorted(allowed)
    if not names:
        return "None is available."
    near = difflib.get_close_matches(name, names, n=2)
    hint = f"Did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{hint}Available: {', '.join(names)}."
