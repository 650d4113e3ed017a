"""The tables of a run of the kit, from its files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def markdown(folder: Path) -> str:
    """Return the report of what a folder holds."""
    parts = {path.stem: _rows(path) for path in sorted(folder.glob("*.jsonl"))}
    sections = []
    for facts in parts.pop("machine", []):
        sections.append("\n".join(f"- {name}: {_text(value)}" for name, value in facts.items()))
    order = [
        "kernels",
        "launches",
        "soft-caps",
        *(n for n in parts if n.startswith("steps")),
        "scoring",
        "product",
        "8bit",
        "world",
    ]
    for name in order:
        if rows := parts.get(name):
            sections.append(f"## {name}\n\n{_table(rows)}")
    return "\n\n".join(sections) + "\n"


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = (_text(row.get(name, "")).replace("|", "\\|").replace("\n", " ") for name in names)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
