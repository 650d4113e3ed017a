"""What a measurement leaves in a folder: one JSON of the numbers, one line for each output."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.evaluation.verdict_files import plain
from tgdpo_core.store.folder import write_whole


def write_outputs(
    folder: Path, summary: Mapping[str, Any], outputs: Iterable[Mapping[str, Any]]
) -> None:
    """Write ``summary.json`` and ``outputs.jsonl`` to a folder, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "summary.json", json.dumps(plain(summary), indent=1) + "\n")
    lines = "".join(json.dumps(plain(output)) + "\n" for output in outputs)
    write_whole(folder / "outputs.jsonl", lines)
