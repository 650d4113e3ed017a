"""Which cells differ in one number only, alpha or beta: the lines of a sweep."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.summary import CellSummary

SWEPT = ("alpha", "beta", "reward_beta")


@dataclass(frozen=True)
class Sweep:
    """Cells that differ in one setting.

    Attributes:
        setting: its name.
        lines: label of what the cells of a line share, to (value of the setting, cell) ascending.
    """

    setting: str
    lines: dict[str, Sequence[tuple[float, CellSummary]]]


def sweeps(summaries: Sequence[CellSummary]) -> list[Sweep]:
    """Return the sweeps with two points or more; only evaluated cells are points."""
    measured = [s for s in summaries if s.peak and s.end]
    found = [Sweep(setting, _lines(measured, setting)) for setting in SWEPT]
    return [sweep for sweep in found if sweep.lines]


def _lines(
    summaries: Sequence[CellSummary], setting: str
) -> dict[str, Sequence[tuple[float, CellSummary]]]:
    groups: dict[tuple[str, str], list[tuple[float, CellSummary]]] = {}
    for summary in summaries:
        settings = summary.cell.settings
        value = settings.get(setting)
        if isinstance(value, int | float):
            others = {name: settings[name] for name in sorted(settings) if name != setting}
            key = (summary.cell.variant, json.dumps(others, sort_keys=True, default=str))
            groups.setdefault(key, []).append((float(value), summary))
    several = {key: points for key, points in groups.items() if len(points) > 1}
    return {
        _label(key, several, setting): sorted(points, key=lambda point: point[0])
        for key, points in several.items()
    }


def _label(
    key: tuple[str, str],
    groups: dict[tuple[str, str], list[tuple[float, CellSummary]]],
    setting: str,
) -> str:
    """Return the variant, and where it has several lines the numbers that tell them apart."""
    variant, others = key
    siblings = [json.loads(rest) for name, rest in groups if name == variant]
    mine = json.loads(others)
    differing = [
        f"{name}={mine[name]}"
        for name in mine
        if name != setting and any(sibling.get(name) != mine[name] for sibling in siblings)
    ]
    return ",".join([variant, *differing])
