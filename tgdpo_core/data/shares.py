"""How much of a data set was cut, left out or is suspicious, and how much of it may be.

A count is harmless in one row and a wrong setting in half of them: above its share it is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import DataError
from tgdpo_core.recipe.data_section import MaxSharesSection

Of = Literal["rows", "pairs", "responses"]


@dataclass(frozen=True)
class _Share:
    """What is counted together, of what, and what to do against it."""

    kinds: tuple[str, ...]
    of: Of
    remedy: str


_SHARES = {
    "left_out": _Share((), "rows", "Mend the rows"),
    "truncated": _Share(
        ("chosen_truncated", "rejected_truncated"), "responses", "Raise data.max_length"
    ),
    "prompt_truncated": _Share(("prompt_truncated",), "pairs", "Raise data.max_prompt_length"),
    "boundary_inside_prompt": _Share(
        ("boundary_inside_prompt",),
        "pairs",
        "End prompts where a token ends (a line break, no space), or look at what the chat "
        "template writes behind a prompt",
    ),
    "special_tokens_in_text": _Share(
        ("special_tokens_in_text",),
        "pairs",
        "Take them out, or set data.special_tokens=keep if they are meant as such",
    ),
    "duplicates": _Share(("duplicate",), "pairs", "Take out repeated rows"),
    "swapped_duplicates": _Share(
        ("swapped_duplicate",), "pairs", "Take out one of two rows that contradict each other"
    ),
    "eval_overlap": _Share(("eval_overlap",), "pairs", "Evaluate on pairs that are not trained on"),
}


def share_lines(report: DataReport) -> list[str]:
    """Return a line for every count, with its share."""
    lines = []
    if report.problems:
        lines.append(_line("left_out", len(report.problems), "rows", report))
    for kind, count in sorted(report.counts.items()):
        lines.append(
            _line(kind, count, "rows" if kind in report.problem_kinds else "pairs", report)
        )
    return lines


def has_doubts(report: DataReport) -> bool:
    """Return whether there is any of what a share is stated for: cut, left out or suspicious."""
    return any(_count(name, report) for name in _SHARES)


def check_shares(report: DataReport, allowed: MaxSharesSection) -> None:
    """Raise ``DataError`` if a share is above what is allowed; all of them are named at once.

    Args:
        report: of tokenized pairs.
        allowed: the recipe's ``data.max_shares``.
    """
    excesses = [line for name in _SHARES for line in _excess(name, report, allowed)]
    if excesses:
        raise DataError("\n".join([f"{report.source}: more than is allowed:", *excesses]))


def _excess(name: str, report: DataReport, allowed: MaxSharesSection) -> Iterator[str]:
    share, limit = _SHARES[name], float(getattr(allowed, name))
    count, total = _count(name, report), _total(share.of, report)
    if total and count / total > limit:
        places = [place for kind in share.kinds for place in report.places.get(kind, ())]
        first = f", first in {', '.join(dict.fromkeys(places))}" if places else ""
        yield (
            f"  {name}: {count} of {total} {share.of} ({count / total:.1%}{first}); allowed are "
            f"{limit:.1%}. {share.remedy}, or allow it: --set data.max_shares.{name}="
            f"{_allowing(count / total)}"
        )


def _count(name: str, report: DataReport) -> int:
    if name == "left_out":
        return len(report.problems)
    return sum(report.counts[kind] for kind in _SHARES[name].kinds)


def _total(of: Of, report: DataReport) -> int:
    totals = {"rows": report.num_rows, "pairs": report.num_pairs, "responses": 2 * report.num_pairs}
    return totals[of]


def _line(name: str, count: int, of: Of, report: DataReport) -> str:
    total = _total(of, report)
    share = f" ({count / total:.1%} of {of})" if total else ""
    return f"{name}: {count}{share}"


def _allowing(share: float) -> str:
    """Return a share as text, rounded up."""
    return f"{min(1.0, int(share * 100 + 1) / 100):g}"
