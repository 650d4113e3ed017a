"""``tgdpo doctor``: what this machine has, or whether a run folder is whole."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.training.durability.run_check import RunCheck

_DAMAGED = 5  # as StoreError


@click.command("doctor")
@click.argument(
    "run", required=False, type=click.Path(path_type=Path), shell_complete=completion.runs
)
@json_option
@click.pass_obj
def command(session: Session, /, run: Path | None, as_json: bool) -> int:
    """Check a run folder, or report versions, devices, disk, store and plugins.

    With RUN every file of its checkpoints and its model is compared with the hash of its manifest;
    the exit code is 5 if something is damaged. Nothing is changed.

    \b
      tgdpo doctor
      tgdpo doctor runs/tgdpo
    """
    if run is None:
        _report(session, as_json)
        return 0
    from tgdpo_core.training.durability.run_check import check_run

    found = check_run(run)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    return 0 if found.is_whole else _DAMAGED


def _print(found: "RunCheck") -> None:
    echo(f"{found.folder}: {found.status}")
    rows = [(name, _state(wrong)) for name, wrong in found.checkpoints.items()]
    if found.model is not None:
        rows.append(("model", _state(found.model)))
    if rows:
        table(("part", "state"), rows)
    echo(found.advice)


def _state(wrong: Any) -> str:
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"damaged: {wrong[0]}{more}" if wrong else "whole"


def _report(session: Session, as_json: bool) -> None:
    """Print what a run on this machine would find."""
    from tgdpo_core.store.folder import default_store_path
    from tgdpo_core.training.record import environment

    store = default_store_path()
    report = {
        **environment(),
        "devices": _devices(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "disk_free_gib": {
            str(place): round(shutil.disk_usage(_existing(place)).free / 2**30, 1)
            for place in (Path.cwd(), store)
        },
        "store": {"path": str(store), "exists": store.is_dir()},
        "plugins": {f"{item.kind}:{item.name}": item.origin for item in session.plugins},
        "broken_plugins": [str(broken) for broken in session.plugins.broken],
    }
    if as_json:
        print_json(report)
        return
    table(("what", "found"), list(_lines({**report, "plugins": _by_origin(report["plugins"])})))


def _by_origin(plugins: dict[str, str]) -> dict[str, str]:
    """Return how many plugins of each kind a distribution brings; `tgdpo plugins` lists them."""
    counts: dict[str, Counter[str]] = {}
    for name, origin in plugins.items():
        counts.setdefault(origin, Counter())[name.partition(":")[0]] += 1
    return {
        f"of {origin}": ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        for origin, kinds in counts.items()
    }


def _lines(report: dict[str, Any]) -> Any:
    """Yield the rows of the report: one for each value, lists and mappings by their parts."""
    for name, value in report.items():
        if isinstance(value, dict):
            yield from ((f"{name} {key}", str(item)) for key, item in value.items())
        elif isinstance(value, list):
            yield from ((name, str(item)) for item in value or ["none"])
        else:
            yield name, str(value)


def _devices() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return ["cpu"]
    names = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return [f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in names]


def _existing(place: Path) -> Path:
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
