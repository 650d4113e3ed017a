"""The page of one run or of several: one HTML file; no script, nothing loaded."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from tgdpo_core.reports.figures import INK, Plot
from tgdpo_core.reports.heatmap import HeatPair, scale_of
from tgdpo_core.reports.heatmap_html import Scales, token_environment
from tgdpo_core.reports.runs.panels import Drawn, draw
from tgdpo_core.reports.runs.reading import Run
from tgdpo_core.reports.runs.spread import spread_plots
from tgdpo_core.reports.runs.tables import differences, last_values, settings
from tgdpo_core.reports.visible import escaped


@dataclass(frozen=True)
class RunPage:
    """A page, and its charts as files of their own.

    Attributes:
        html: the page.
        plots: what the page shows of training, each an SVG file of its own.
    """

    html: str
    plots: Sequence[Plot]


@dataclass(frozen=True)
class _Section:
    """What the page says of one run alone."""

    run: Run
    facts: str
    signs: Sequence[str]
    spread: Sequence[Plot]
    scales: Scales | None


def run_page(runs: Sequence[Run]) -> RunPage:
    """Return the page of runs, in their order."""
    drawn = draw(runs)
    sections = [_section(run) for run in runs]
    environment = token_environment("tgdpo_core.reports")
    environment.filters |= {"inline": _inline, "breaking": _breaking}
    html = environment.get_template("runs.html.j2").render(
        title=runs[0].name if len(runs) == 1 else f"{len(runs)} runs",
        sections=sections,
        drawn=drawn,
        tables=[last_values(runs), settings(runs)],
        unlike=_unlike(runs),
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    spread = sections[0].spread if len(runs) == 1 else ()
    return RunPage(html, [*drawn.plots, *spread])


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the page says, as JSON."""
    drawn: Drawn = draw(runs)
    return {
        "runs": [
            {
                "name": run.name,
                "path": str(run.path),
                "status": run.status,
                "log_rows": run.log.num_rows,
                "last_step": run.log.last_step,
                "last": {
                    name: each.last if np.isfinite(each.last) else None
                    for name, each in run.log.series.items()
                },
                "signs": _signs(run),
                "notes": list(run.notes),
            }
            for run in runs
        ],
        "differences": differences(runs),
        "missing": list(drawn.missing),
    }


def _section(run: Run) -> _Section:
    return _Section(run, _facts(run), _signs(run), list(spread_plots(run)), _scales(run))


def _facts(run: Run) -> str:
    """Return a line: how the run stands, and where its numbers come from."""
    record = run.record
    parts = [run.status]
    if run.log.num_rows:
        parts.append(f"step {run.log.last_step}")
    for name in ("started", "finished"):
        if record.get(name):
            parts.append(f"{name} {str(record[name]).replace('T', ' ').replace('+00:00', ' UTC')}")
    if names := _sources(run):
        parts.append(f"token reward {' + '.join(names)}")
    return ", ".join(parts)


def _sources(run: Run) -> list[str]:
    found = run.record.get("reward_sources")
    entries = found if isinstance(found, list) else []
    return [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]


def _signs(run: Run) -> list[str]:
    """Return the failure signs that run.json holds."""
    found = run.diagnostics.get("warnings")
    if not isinstance(found, list) or _sources(run) == ["none"]:  # plain DPO is meant to have them
        return []
    return [str(each.get("message")) for each in found if isinstance(each, dict)]


def _scales(run: Run) -> Scales | None:
    """Return the scales of the pairs that are shown; None without any."""
    pairs: list[HeatPair] = [p for g in (run.tokens.groups if run.tokens else ()) for p in g.pairs]
    tokens = [token for pair in pairs for side in pair.responses for token in side.tokens]
    if not tokens:
        return None
    rewards = np.array([token.reward for token in tokens])
    weights = np.array([token.weight for token in tokens])
    return Scales(
        scale_of(rewards[np.isfinite(rewards)], 0.0), scale_of(weights[np.isfinite(weights)], 1.0)
    )


def _unlike(runs: Sequence[Run]) -> list[str]:
    """Return what makes runs hard to compare."""
    said = []
    for key, what in (("data", "training pairs"), ("tokenizer", "tokenizers")):
        prints = {
            str(found.get(key))
            for run in runs
            if isinstance(found := run.record.get("fingerprints"), dict) and found.get(key)
        }
        if len(prints) > 1:
            said.append(f"The runs have different {what}.")
    return said


def _inline(svg: str) -> Markup:
    """Return a chart whose axes and text have the colour of the page's text."""
    return Markup(svg.replace(INK, "currentColor"))


def _breaking(text: str) -> Markup:
    """Return a name that may break after commas, slashes and underlines."""
    shown = escape(escaped(text))
    for sign in (",", "/", "_", "."):
        shown = shown.replace(sign, sign + Markup("<wbr>"))
    return shown
