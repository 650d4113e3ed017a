"""Heat maps in HTML: no script, nothing loaded, everything from data escaped."""

import math
from dataclasses import dataclass
from typing import Any

import jinja2

from tgdpo_core.reports.heatmap import (
    FIXED_REACH,
    LEVELS,
    Heatmap,
    HeatPair,
    HeatToken,
    Scale,
    number,
)
from tgdpo_core.reports.pages import page_environment

_FIXED_REWARD, _FIXED_WEIGHT = Scale(0.0, FIXED_REACH), Scale(1.0, FIXED_REACH)


@dataclass(frozen=True)
class Scales:
    """What tokens are coloured by: scales of the pairs that are shown, and fixed ones."""

    reward: Scale
    weight: Scale
    fixed_reward: Scale = _FIXED_REWARD
    fixed_weight: Scale = _FIXED_WEIGHT


def heatmap_html(heatmap: Heatmap) -> str:
    """Return the document; the numbers of a token are in its ``title``."""
    template = token_environment("tgdpo_core.reports").get_template("heatmap.html.j2")
    scales = Scales(heatmap.reward_scale, heatmap.weight_scale)
    return template.render(heatmap=heatmap, scales=scales)


def token_environment(package: str) -> jinja2.Environment:
    """Return the environment of templates that show tokens (``tokens.html.j2``)."""
    environment = page_environment(package)
    environment.globals |= {"levels": LEVELS}
    environment.filters |= {
        "number": number,
        "numbers": _numbers,
        "colours": _classes,
        "ratio": _ratio,
    }
    return environment


def _classes(token: HeatToken, scales: Scales) -> str:
    """Return the classes of a token's colour and line, on its own scale and on the fixed one."""
    named = (
        _class(scales.reward, token.reward, "p", "n") or "z",
        _class(scales.weight, token.weight, "u", "d"),
        _class(scales.fixed_reward, token.reward, "fp", "fn"),
        _class(scales.fixed_weight, token.weight, "fu", "fd"),
    )
    return " ".join(each for each in named if each)


def _class(scale: Scale, value: float, up: str, down: str) -> str:
    level = scale.level(value) if math.isfinite(value) else 0
    return f"{up if level > 0 else down}{abs(level)}" if level else ""


def _ratio(pair: HeatPair) -> int:
    """Return how the width is shared: from -2, the second response is much longer, to 2."""
    chosen, rejected = (max(1, len(response.tokens)) for response in pair.responses)
    return max(-2, min(2, round(math.log2(chosen / rejected))))


def _numbers(token: HeatToken, position: int) -> str:
    values: dict[str, Any] = {
        "reward": token.reward,
        "weight": token.weight,
        "log p_ref": token.reference_logp,
    }
    listed = ", ".join(f"{name} {number(value)}" for name, value in values.items())
    return f"{listed} (token {position}, id {token.token_id})"
