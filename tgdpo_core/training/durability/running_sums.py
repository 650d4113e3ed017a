"""Sums that a run is in the middle of: saved with a checkpoint, so that logs go on unchanged."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tgdpo_core.errors import CheckpointError
from tgdpo_core.store.folder import json_object


@dataclass
class RunningSums:
    """What the next log row and the final one are made of, and what the step still has to do.

    Attributes:
        total_loss: sum of logged step losses.
        last_logged: step of the last log row.
        step_loss: sum of this process's step losses since then.
        grad_norm: of the last step.
        learning_rate: of the last step.
        log_bytes: size of the log file at the save.
        at_epoch_end: whether what is done at the end of an epoch was done before the save.
        evaluate: whether an evaluation was broken off and is still due.
        save: whether a save was due after that evaluation.
    """

    total_loss: float = 0.0
    last_logged: int = 0
    step_loss: float = 0.0
    grad_norm: float | None = None
    learning_rate: float | None = None
    log_bytes: int = 0
    at_epoch_end: bool = False
    evaluate: bool = False
    save: bool = False

    def write(self, folder: Path, rank: int, metric_rows: torch.Tensor) -> None:
        """Write the sums of a process, with the metric rows [P, K] since the last log row."""
        metadata = {"sums": json.dumps(asdict(self))}
        rows = metric_rows.cpu().contiguous()
        save_file({"metric_rows": rows}, _file(folder, rank), metadata=metadata)


def read_sums(folder: Path, rank: int) -> tuple[RunningSums, torch.Tensor] | None:
    """Return the sums of a process and its metric rows; None if that process saved none.

    Raises:
        CheckpointError: the file holds something else.
    """
    path = _file(folder, rank)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            values = json_object(file.metadata()["sums"])
            return RunningSums(**values), file.get_tensor("metric_rows")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not hold the sums of a run: {error}") from error


def _file(folder: Path, rank: int) -> Path:
    return folder / f"running_sums-{rank}.safetensors"
