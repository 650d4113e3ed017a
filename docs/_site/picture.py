"""The picture of the concept page: one pair, its tokens, their rewards, weights and the loss.

    python docs/_site/picture.py        # writes docs/assets/pair.svg

Rewards and log-ratios are made up, so that they fit on a page; everything else follows from them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

TARGET = Path(__file__).parents[1] / "assets" / "pair.svg"
ALPHA, BETA = 0.5, 0.5
PROMPT = "What is 17 + 25?"
_WIDTH, _LEFT, _CELL, _ROW = 960, 190, 84, 30
_BLUE, _RED, _INK, _GREY = "#2563a8", "#b4441f", "#1f2430", "#5b6472"


@dataclass(frozen=True)
class Side:
    """One response: its tokens, a token reward and log pi/pi_ref of each, and its weight function.

    Attributes:
        sign: +1 for f_w(r) = 1 + alpha r, -1 for f_l(r) = 1 - alpha r.
    """

    name: str
    tokens: Sequence[str]
    rewards: Sequence[float]
    logratios: Sequence[float]
    sign: int

    @property
    def weights(self) -> list[float]:
        """The weight of each token, by the linear shaping (arXiv 2506.14574, eq. 20)."""
        return [1 + self.sign * ALPHA * reward for reward in self.rewards]

    @property
    def terms(self) -> list[float]:
        """What each token adds to the sum of its side: beta * weight * log-ratio."""
        return [BETA * f * x for f, x in zip(self.weights, self.logratios, strict=True)]


CHOSEN = Side(
    "chosen",
    ("17", " +", " 25", " =", " 42", "."),
    (0.0, 0.0, 0.1, 0.0, 1.2, 0.1),
    (0.1, 0.0, 0.1, 0.1, 0.6, 0.0),
    +1,
)
REJECTED = Side(
    "rejected",
    ("17", " +", " 25", " =", " 32", "."),
    (0.0, 0.0, 0.1, 0.0, -1.4, -0.1),
    (0.1, 0.0, 0.1, 0.1, -0.5, 0.0),
    -1,
)


def loss(margin: float) -> float:
    """Return -log sigmoid of a margin."""
    return math.log1p(math.exp(-margin))


def picture() -> str:
    """Return the picture as SVG."""
    weighted = sum(CHOSEN.terms) - sum(REJECTED.terms)
    plain = BETA * (sum(CHOSEN.logratios) - sum(REJECTED.logratios))
    body = [
        _text(20, 34, f"Prompt: {PROMPT}", size=17, weight="bold"),
        *_side(CHOSEN, top=56),
        *_side(REJECTED, top=256),
        *_sums(plain, weighted, top=462),
    ]
    title = "One preference pair with token rewards, weights and the loss"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} 560" role="img" '
        f'aria-label="{title}" font-family="system-ui, sans-serif">\n<title>{title}</title>\n'
        f'<rect width="{_WIDTH}" height="560" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _side(side: Side, top: int) -> Iterator[str]:
    colour = _BLUE if side.sign > 0 else _RED
    name = "f_w = 1 + \u03b1 r" if side.sign > 0 else "f_l = 1 \u2212 \u03b1 r"
    rows = (
        ("token reward r", [f"{value:+.1f}" for value in side.rewards]),
        (f"weight {name}", [f"{value:.2f}" for value in side.weights]),
        ("log \u03c0 / \u03c0_ref", [f"{value:+.2f}" for value in side.logratios]),
        ("\u03b2 \u00b7 weight \u00b7 log-ratio", [f"{value:+.3f}" for value in side.terms]),
    )
    yield _text(20, top + 27, f"{side.name} response", size=15, weight="bold", fill=colour)
    for i, (token, reward) in enumerate(zip(side.tokens, side.rewards, strict=True)):
        x = _LEFT + i * _CELL
        shade = _BLUE if reward > 0 else _RED
        opacity = min(abs(reward), 1.5) / 1.5 * 0.45
        yield (
            f'<rect x="{x}" y="{top + 6}" width="{_CELL - 6}" height="32" rx="5" fill="{shade}" '
            f'fill-opacity="{opacity:.2f}" stroke="{_GREY}"/>'
        )
        yield _text(x + 39, top + 28, token.replace(" ", "\u2423"), size=17, anchor="middle")
    for j, (label, cells) in enumerate(rows):
        y = top + 66 + j * _ROW
        yield _text(20, y, label, fill=_GREY)
        for i, cell in enumerate(cells):
            is_heavy = abs(side.weights[i] - 1) > 0.3
            weight = "bold" if j == 1 and is_heavy else "normal"
            yield _text(_LEFT + i * _CELL + 39, y, cell, anchor="middle", weight=weight)
    end = _LEFT + len(side.tokens) * _CELL + 10
    yield _text(end, top + 66 + 3 * _ROW, f"sum {sum(side.terms):+.3f}", weight="bold", fill=colour)


def _sums(plain: float, weighted: float, top: int) -> Iterator[str]:
    yield f'<line x1="20" y1="{top - 16}" x2="{_WIDTH - 20}" y2="{top - 16}" stroke="{_GREY}"/>'
    rows = (("DPO: every weight is 1", plain), ("TGDPO: the weights above", weighted))
    for i, (label, margin) in enumerate(rows):
        y = top + 12 + i * _ROW
        weight = "bold" if i else "normal"
        yield _text(20, y, label, size=15, weight=weight)
        text = f"margin = chosen \u2212 rejected = {margin:+.3f}"
        yield _text(300, y, text, size=15, weight=weight)
        text = f"loss = \u2212log \u03c3(margin) = {loss(margin):.3f}"
        yield _text(650, y, text, size=15, weight=weight)
    note = f"\u03b1 = {ALPHA}, \u03b2 = {BETA}. Blue: r > 0. Red: r < 0. "
    note += "Rewards and log-ratios are made up."
    yield _text(20, top + 82, note, fill=_GREY, size=13)


def _text(x: float, y: float, text: str, **style: str | int) -> str:
    size, weight = style.get("size", 14), style.get("weight", "normal")
    anchor, fill = style.get("anchor", "start"), style.get("fill", _INK)
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
