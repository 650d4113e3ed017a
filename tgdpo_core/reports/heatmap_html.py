"""A heat map as one HTML file: no script, nothing loaded, everything from data escaped."""

from tgdpo_core.reports.heatmap import LEVELS, Heatmap, HeatToken, Scale, number
from tgdpo_core.reports.pages import page_environment


def heatmap_html(heatmap: Heatmap) -> str:
    """Return the document; the numbers of a token are in its ``title``."""
    environment = page_environment("tgdpo_core.reports")
    environment.filters |= {"number": number, "numbers": _numbers}
    template = environment.get_template("heatmap.html.j2")
    return template.render(heatmap=heatmap, levels=LEVELS, colour=_colour_class)


def _colour_class(scale: Scale, value: float) -> str:
    level = scale.level(value)
    return f"{'p' if level > 0 else 'n'}{abs(level)}" if level else "z"


def _numbers(token: HeatToken, position: int) -> str:
    return (
        f"reward {number(token.reward)}, weight {number(token.weight)}, "
        f"log p_ref {number(token.reference_logp)} (token {position}, id {token.token_id})"
    )
