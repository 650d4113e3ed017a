"""What a run folder holds, whole or not: a part that cannot be read is a sentence, no error."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.reports.runs.log import RunLog, read_log
from tgdpo_core.reports.runs.tokens import FILE, TokenSheet, read_sheet

PLOTS = "plots"


@dataclass(frozen=True)
class Run:
    """A run as a report sees it.

    Attributes:
        name: of its folder; with folders above it where runs of one name are compared.
        path: its folder.
        status: how it stands, in words.
        record: run.json; empty where it cannot be read.
        settings: dotted keys of config.yaml (settings.yaml of a run made in Python) to values.
        log: logs/train.jsonl.
        tokens: plots/tokens.json, or None.
        notes: what is missing or damaged, in sentences.
    """

    name: str
    path: Path
    status: str
    record: Mapping[str, Any]
    settings: Mapping[str, Any]
    log: RunLog
    tokens: TokenSheet | None
    notes: Sequence[str]

    @property
    def diagnostics(self) -> Mapping[str, Any]:
        """Statistics of rewards and weights, as run.json has them; empty where it has none."""
        found = self.record.get("diagnostics")
        return found if isinstance(found, Mapping) else {}


def read_run(path: Path, name: str, status: str) -> Run:
    """Return what a run folder holds."""
    notes: list[str] = []
    record = _record(path / "run.json", notes)
    settings = _settings(path, notes)
    log = read_log(path / "logs" / "train.jsonl")
    tokens = _tokens(path / PLOTS / FILE, notes)
    error = record.get("error")
    if error:
        notes.insert(0, f"It ended with: {error}")
    return Run(name, path, status, record, settings, log, tokens, [*notes, *log.notes])


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart, at least the folder's name."""
    parts = [path.resolve().parts for path in paths]
    names = []
    for mine in parts:
        length = 1
        while length < len(mine) and sum(mine[-length:] == p[-length:] for p in parts) > 1:
            length += 1
        names.append("/".join(mine[-length:]))
    return names


def _record(path: Path, notes: list[str]) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append("There is no run.json: status, versions and statistics are not known.")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"run.json cannot be read ({error}): status and statistics are not known.")
        return {}
    if not isinstance(record, dict):
        notes.append("run.json holds no JSON object: status and statistics are not known.")
        return {}
    return record


def _settings(path: Path, notes: list[str]) -> Mapping[str, Any]:
    import yaml

    found = [name for name in ("config.yaml", "settings.yaml") if (path / name).is_file()]
    if not found:
        notes.append("There is no config.yaml: its settings are not known.")
        return {}
    try:
        content = yaml.safe_load((path / found[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        first = str(error).partition("\n")[0]
        notes.append(f"{found[0]} cannot be read ({first}): its settings are not known.")
        return {}
    return dict(_flat(content)) if isinstance(content, dict) else {}


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values; of lists of mappings each entry by its number."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            numbered = {str(i): each for i, each in enumerate(value)}
            yield from _flat(numbered, f"{name}.")
        else:
            yield name, value


def _tokens(path: Path, notes: list[str]) -> TokenSheet | None:
    try:
        return read_sheet(path)
    except FileNotFoundError:
        notes.append(
            "No distributions and no pairs: the run kept none (plots/tokens.json; runs of earlier "
            "versions have no such file, nor have runs with report: false). "
            f"tgdpo inspect {path.parent.parent} shows tokens all the same."
        )
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        notes.append(f"No distributions and no pairs: plots/tokens.json cannot be read ({first}).")
    return None
