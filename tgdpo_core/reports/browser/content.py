"""What the browser's page loads, as text: the page, its script, a column, some pairs.

Files cannot be fetched by a page that is opened as a file, scripts can: data come as scripts that
hand JSON to the page, one column or one part of the pairs each, when it is asked for.
"""

import importlib.resources
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from tgdpo_core.reports.browser.numbers import (
    COLUMNS,
    SIGNS,
    PairNumbers,
    PairSource,
    Seen,
    look,
)
from tgdpo_core.reports.heatmap import FIXED_REACH, LEVELS, HeatPair, HeatResponse, heat_pair
from tgdpo_core.reports.pages import page_environment
from tgdpo_core.reports.visible import escaped

Array = np.ndarray[Any, Any]

SCRIPTS = ("drawing.js", "browser.js")
SIGN_COLUMN = "signs"


@dataclass(frozen=True)
class Browser:
    """The texts of a browser.

    Attributes:
        pairs: what is browsed.
        numbers: of every pair.
        per_part: pairs of one page, and of one part.
    """

    pairs: PairSource
    numbers: PairNumbers
    per_part: int

    @property
    def num_parts(self) -> int:
        """How many parts the pairs have."""
        return math.ceil(len(self.pairs.scored) / self.per_part)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that can be loaded."""
        return [*self.numbers.columns, SIGN_COLUMN]

    def page(self, policy: str) -> str:
        """Return index.html.

        Args:
            policy: which scripts may run, for the Content-Security-Policy.
        """
        environment = page_environment("tgdpo_core.reports")
        return environment.get_template("browser.html.j2").render(
            levels=LEVELS,
            policy=policy,
            pairs=self.pairs,
            columns={n: COLUMNS[n] for n in self.numbers.columns},
            signs={n: (text, self.numbers.found[n]) for n, text in SIGNS.items()},
            meta=Markup(_json(self._meta()).replace("<", "\\u003c")),
        )

    def column(self, name: str) -> str:
        """Return the script of a column.

        Raises:
            KeyError: there is none of that name.
        """
        if name == SIGN_COLUMN:
            return _script(f"columns/{name}", self.numbers.signs.tolist())
        return _script(f"columns/{name}", _short(self.numbers.columns[name]))

    def part(self, number: int) -> str:
        """Return the script of a part of the pairs.

        Raises:
            KeyError: there is none of that number.
        """
        if not 0 <= number < self.num_parts:
            raise KeyError(number)
        start = number * self.per_part
        rows = range(start, min(start + self.per_part, len(self.pairs.scored)))
        return part_script(self.pairs, number, look(self.pairs, rows))

    def _meta(self) -> dict[str, Any]:
        return {
            "pairs": len(self.pairs.scored),
            "per_part": self.per_part,
            "columns": list(self.numbers.columns),
            "signs": list(SIGNS),
            "sources": [escaped(name) for name, _ in self.pairs.sources],
            "reaches": {name: float(value) for name, value in self.numbers.reaches.items()},
            "fixed": FIXED_REACH,
            "levels": LEVELS,
        }


def part_script(pairs: PairSource, number: int, seen: Sequence[Seen]) -> str:
    """Return the script of a part of the pairs that were read."""
    shown = []
    for each in seen:
        heat = heat_pair(each.scored, pairs.token_name, number=pairs.numbers[each.row])
        shown.append(_pair(heat, each.alone, each.errors))
    return _script(f"pairs/{number}", shown)


def script(name: str) -> str:
    """Return one of ``SCRIPTS``."""
    folder = importlib.resources.files("tgdpo_core.reports") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _pair(pair: HeatPair, alone: Sequence[Array], errors: Array | None) -> dict[str, Any]:
    sides, at = [], 0
    for response in pair.responses:
        size = len(response.tokens)
        mine = slice(at, at + size)
        mask = errors[mine] if errors is not None else None
        sides.append(_side(response, [values[mine] for values in alone], mask))
        at += size
    title = f"pair {pair.number}" if pair.number is not None else ""
    where, prompt = escaped(pair.where), escaped(pair.prompt)
    return {"title": title, "where": where, "prompt": prompt, "sides": sides}


def _side(response: HeatResponse, alone: Sequence[Array], errors: Array | None) -> dict[str, Any]:
    tokens = response.tokens
    return {
        "side": response.side,
        "mean_reward": _digits(response.mean_reward),
        "mean_weight": _digits(response.mean_weight),
        "text": [_pieces(token.pieces) for token in tokens],
        "id": [token.token_id for token in tokens],
        "reward": [_digits(token.reward) for token in tokens],
        "weight": [_digits(token.weight) for token in tokens],
        "logp": [_digits(token.reference_logp) for token in tokens],
        "sources": [_short(values) for values in alone],
        "errors": np.flatnonzero(errors).tolist() if errors is not None else None,
    }


def _pieces(pieces: Sequence[Any]) -> Any:
    """Return a token's text; where parts of it are signs, its parts with their kinds.

    Text that hides something was made visible when it became pieces.
    """
    if len(pieces) == 1 and pieces[0].kind == "text":
        return pieces[0].text
    return [[escaped(piece.text), piece.kind] for piece in pieces]


def _short(values: Array) -> list[float | None]:
    return [_digits(value) for value in values.tolist()]


def _digits(value: float) -> float | None:
    """Return a value in five significant digits; None where it is not finite."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _script(name: str, value: Any) -> str:
    return f"tokens.take({_json(name)},{_json(value)});\n"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
