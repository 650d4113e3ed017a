"""Where the numbers of an ablation come from: name, model, data, days; the pages of its runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tgdpo_core.experiments.collection import Cell, Collection

_PAGE = "report.html"


@dataclass(frozen=True)
class Origin:
    """What the head and the end of the report say beside the numbers.

    Attributes:
        name: of the ablation: that of its folder.
        facts: label and value of model, data, runs and days.
        pages: by cell, label and address of the page of each run that has one, relative to the
            ablation's folder.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    pages: Mapping[str, Sequence[tuple[str, str]]]


def origin_of(folder: Path, collection: Collection) -> Origin:
    """Return the origin of an ablation folder's results."""
    unfinished = {run.cell.folder for run in collection.unfinished}
    done = [cell for cell in collection.cells if cell.folder not in unfinished]
    facts = _recipe_facts(folder / done[0].folder) if done else []
    facts.append(("runs", f"{len(done)} of {len(collection.cells)} finished"))
    if days := _days(folder, done):
        facts.append(("finished", days))
    return Origin(folder.resolve().name, facts, _pages(folder, collection.cells))


def _recipe_facts(run: Path) -> list[tuple[str, str]]:
    """Return model and data of a run; cells of one ablation may differ in what the table shows."""
    try:
        recipe = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    if not isinstance(recipe, dict):
        return []
    model, data = _section(recipe, "model"), _section(recipe, "data")
    path = data.get("path")
    name = model.get("name_or_path") or (path and f"that of {path}")
    found = [("model", name), ("data", path)]
    return [(label, str(value)) for label, value in found if value]


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else {}


def _days(folder: Path, cells: Sequence[Cell]) -> str:
    """Return the first and the last day on which a run was finished."""
    days = []
    for cell in cells:
        try:
            record = json.loads((folder / cell.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("finished"):
            days.append(str(record["finished"])[:10])
    return " to ".join(sorted({min(days), max(days)})) if days else ""


def _pages(folder: Path, cells: Sequence[Cell]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for cell in cells:
        if (folder / cell.folder / _PAGE).is_file():
            address = quote(f"./{cell.folder}/{_PAGE}")
            found.setdefault(cell.name, []).append((f"seed {cell.seed}", address))
    return found
