"""Errors of reading and writing checkpoints, told from bugs."""

import contextlib
from collections.abc import Iterator

from safetensors import SafetensorError

from tgdpo_core.errors import CheckpointError


def is_disk_error(error: BaseException) -> bool:
    """Return whether an error is the file system's, whatever a library made of it."""
    writer = "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
    return isinstance(error, OSError | SafetensorError) or writer


@contextlib.contextmanager
def fitting(checkpoint: str) -> Iterator[None]:
    """Say which checkpoint it was whose tensors do not fit the model or the optimizer.

    Raises:
        CheckpointError: in place of what libraries raise.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{checkpoint} does not fit this run's model or optimizer: {error}"
        ) from error
