"""The picture of the concept page: one pair, its tokens, their rewards, weights and the loss.

    python docs/_site/picture.py        # writes docs/assets/pair.svg and pair-narrow.svg

Rewards and log-ratios are made up, so that they fit on a page; everything else follows from them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_ASSETS = Path(__file__).parents[1] / "assets"
TARGET, NARROW = _ASSETS / "pair.svg", _ASSETS / "pair-narrow.svg"
ALPHA, BETA = 0.5, 0.5
PROMPT = "What is 17 + 25?"
_NOTES = (
    f"\u03b1 = {ALPHA}, \u03b2 = {BETA}. Blue: r > 0. Red: r < 0.",
    "Rewards and log-ratios are made up.",
)
_WIDTH, _LEFT, _CELL, _ROW = 960, 190, 84, 30
_NARROW_WIDTH, _NARROW_COLUMNS = 380, (126, 186, 280, 366)  # where the columns of numbers end
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
    body = [
        _text(20, 34, f"Prompt: {PROMPT}", size=17, weight="bold"),
        *_side(CHOSEN, top=56),
        *_side(REJECTED, top=256),
        *_sums(top=462),
    ]
    return _svg(_WIDTH, 560, body)


def narrow_picture() -> str:
    """Return the same as SVG for a small screen: a token a row, so that nothing is cut."""
    body = [
        _text(14, 30, f"Prompt: {PROMPT}", size=15, weight="bold"),
        *_rows(CHOSEN, top=44),
        *_rows(REJECTED, top=300),
    ]
    for i, (label, margin) in enumerate(margins()):
        y, weight = 580 + i * 46, "bold" if i else "normal"
        body.append(_text(14, y, label, weight=weight))
        numbers = f"margin {margin:+.3f}, loss = \u2212log \u03c3(margin) = {loss(margin):.3f}"
        body.append(_text(14, y + 20, numbers, size=13, weight=weight))
    body += [_text(14, 668 + 16 * i, note, fill=_GREY, size=12) for i, note in enumerate(_NOTES)]
    return _svg(_NARROW_WIDTH, 698, body)


def margins() -> tuple[tuple[str, float], tuple[str, float]]:
    """Return what DPO and TGDPO make of the pair: label and margin."""
    plain = BETA * (sum(CHOSEN.logratios) - sum(REJECTED.logratios))
    weighted = sum(CHOSEN.terms) - sum(REJECTED.terms)
    return ("DPO: every weight is 1", plain), ("TGDPO: the weights above", weighted)


def _svg(width: int, height: int, body: Sequence[str]) -> str:
    title = "One preference pair with token rewards, weights and the loss"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{title}" font-family="system-ui, sans-serif">\n<title>{title}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _rows(side: Side, top: int) -> Iterator[str]:
    """Yield a response with a token a row; its columns are those of the text on the page."""
    colour, f = (_BLUE, "f_w") if side.sign > 0 else (_RED, "f_l")
    head = ("r", f, "log \u03c0/\u03c0_ref", f"\u03b2 {f} log")
    yield _text(14, top + 22, f"{side.name} response", weight="bold", fill=colour)
    for label, x in zip(head, _NARROW_COLUMNS, strict=True):
        yield _text(x, top + 44, label, anchor="end", fill=_GREY, size=12)
    values = zip(side.rewards, side.weights, side.logratios, side.terms, strict=True)
    for i, (token, (reward, weight, ratio, term)) in enumerate(
        zip(side.tokens, values, strict=True)
    ):
        y = top + 54 + i * _ROW
        yield _box(reward, x=14, y=y, width=60, height=24)
        yield _text(44, y + 17, token.replace(" ", "\u2423"), anchor="middle")
        cells = (f"{reward:+.1f}", f"{weight:.2f}", f"{ratio:+.2f}", f"{term:+.3f}")
        for j, (cell, x) in enumerate(zip(cells, _NARROW_COLUMNS, strict=True)):
            heavy = "bold" if j == 1 and abs(weight - 1) > 0.3 else "normal"
            yield _text(x, y + 17, cell, anchor="end", size=13, weight=heavy)
    y = top + 54 + len(side.tokens) * _ROW + 16
    total = f"sum {sum(side.terms):+.3f}"
    yield _text(_NARROW_COLUMNS[-1], y, total, anchor="end", weight="bold", fill=colour)


def _box(reward: float, *, x: int, y: int, width: int, height: int) -> str:
    """Return the box of a token in the colour of its reward."""
    opacity = min(abs(reward), 1.5) / 1.5 * 0.45
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" '
        f'fill="{_BLUE if reward > 0 else _RED}" fill-opacity="{opacity:.2f}" stroke="{_GREY}"/>'
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
        yield _box(reward, x=x, y=top + 6, width=_CELL - 6, height=32)
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


def _sums(top: int) -> Iterator[str]:
    yield f'<line x1="20" y1="{top - 16}" x2="{_WIDTH - 20}" y2="{top - 16}" stroke="{_GREY}"/>'
    for i, (label, margin) in enumerate(margins()):
        y = top + 12 + i * _ROW
        weight = "bold" if i else "normal"
        yield _text(20, y, label, size=15, weight=weight)
        text = f"margin = chosen \u2212 rejected = {margin:+.3f}"
        yield _text(300, y, text, size=15, weight=weight)
        text = f"loss = \u2212log \u03c3(margin) = {loss(margin):.3f}"
        yield _text(650, y, text, size=15, weight=weight)
    yield _text(20, top + 82, " ".join(_NOTES), fill=_GREY, size=13)


def _text(x: float, y: float, text: str, **style: str | int) -> str:
    size, weight = style.get("size", 14), style.get("weight", "normal")
    anchor, fill = style.get("anchor", "start"), style.get("fill", _INK)
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
    NARROW.write_text(narrow_picture(), encoding="utf-8")
