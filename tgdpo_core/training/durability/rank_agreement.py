"""All processes of a run must mean the same run: compared before anything is computed."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import distributed

from tgdpo_core.errors import UsageError
from tgdpo_core.training.durability.agreement import (
    everyones,
    first_message,
    from_first,
    gathered,
    is_shared,
)
from tgdpo_core.training.durability.identity import differences, table


def require_same_run(identity: Mapping[str, Any]) -> None:
    """Make sure that every process has the identity of the first one.

    Raises:
        UsageError: on every process, with what differs.
    """
    for rank, other in enumerate(gathered(dict(identity))):
        if rank == 0:
            first = other
        elif found := differences(first, other):
            message = (
                f"The processes of this run do not agree; process {rank} differs from process 0:\n"
                f"{table(found, ('what', 'process 0', f'process {rank}'))}\n"
                "Start all of them with the same recipe, data, environment variables and versions."
            )
            raise everyones(UsageError(message))


def require_shared_folder(folder: Path, what: str) -> None:
    """Make sure that every process sees the same folder, not one of its own disk.

    Args:
        folder: where all read and write.
        what: how messages name it, and how it is set.

    Raises:
        UsageError: on every process: one does not see what the first one wrote.
    """
    if not is_shared():
        return
    mark = folder / from_first(f".seen-by-all-{uuid.uuid4().hex}")
    is_first = distributed.get_rank() == 0
    if is_first:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    gathered(None)  # nobody looks before it is there
    lacking = None if mark.exists() else f"{folder} is not the folder that process 0 uses"
    message = first_message(lacking)
    if is_first:
        mark.unlink(missing_ok=True)
    if message:
        raise everyones(UsageError(f"{message}: put {what} on a disk that all processes share."))
