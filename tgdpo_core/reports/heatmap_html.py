"""A heat map as one HTML file: no script, nothing loaded, everything from data escaped."""

from typing import Any

import jinja2
from markupsafe import Markup

from tgdpo_core.reports.heatmap import LEVELS, Heatmap, HeatToken, Scale, number
from tgdpo_core.reports.visible import escaped


def heatmap_html(heatmap: Heatmap) -> str:
    """Return the document; the numbers of a token are in its ``title``."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tgdpo_core.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "numbers": _numbers}
    template = environment.get_template("heatmap.html.j2")
    return template.render(heatmap=heatmap, levels=LEVELS, colour=_colour_class)


def _finalize(value: Any) -> Any:
    """Make what cannot be seen visible in every value that the template writes.

    Bidirectional marks would reorder the page around them; a lone surrogate is not UTF-8. Markup
    is what the template's own macros wrote; the values within came through here already.
    """
    is_data = isinstance(value, str) and not isinstance(value, Markup)
    return escaped(value) if is_data else value


def _colour_class(scale: Scale, value: float) -> str:
    level = scale.level(value)
    return f"{'p' if level > 0 else 'n'}{abs(level)}" if level else "z"


def _numbers(token: HeatToken, position: int) -> str:
    return (
        f"reward {number(token.reward)}, weight {number(token.weight)}, "
        f"log p_ref {number(token.reference_logp)} (token {position}, id {token.token_id})"
    )
