"""report.html: the results of an ablation as one file; no script, nothing loaded."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from tgdpo_core.experiments.comparison import Results
from tgdpo_core.experiments.figures import Plot
from tgdpo_core.experiments.looks import INK, plotted
from tgdpo_core.experiments.origin import Origin
from tgdpo_core.experiments.tables import settings_table
from tgdpo_core.reports.pages import page_environment
from tgdpo_core.reports.visible import escaped


def report_html(results: Results, figures: Sequence[Plot], origin: Origin, *, grid: str) -> str:
    """Return the document.

    Args:
        results: what was found.
        figures: the plots; matplotlib has escaped what they hold.
        origin: where the numbers come from.
        grid: text of ablation.yaml.
    """
    environment = page_environment("tgdpo_core.experiments")
    environment.filters |= {"inline": _inline, "name": _name, "value": _value}
    lines = plotted(results.summaries, results.metric)
    return environment.get_template("report.html.j2").render(
        results=results,
        headline=results.findings[0],
        findings=results.findings[1:],
        figures=figures,
        origin=origin,
        settings=settings_table(results.summaries),
        grid=grid,
        num_hidden=len(results.summaries) - len(lines),
    )


def _inline(svg: str) -> Markup:
    """Return a plot whose axes and text have the colour of the page's text."""
    return Markup(svg.replace(INK, "currentColor"))


def _name(text: str) -> Markup:
    """Return a cell's name that may break after its commas."""
    return escape(escaped(text)).replace(",", Markup(",<wbr>"))


def _value(text: str) -> Markup:
    """Return a value with its interval, if it has one, on a line of its own."""
    return escape(escaped(text)).replace(" [", Markup("<br>["))
