"""plots/tokens.json of a run: how its rewards and weights are spread, and pairs as heat maps.

The run writes it, for it has the tokens; whoever reads it needs neither data set nor model.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tgdpo_core.reports.distribution import Distribution
from tgdpo_core.reports.heatmap import HeatPair, heat_pair

if TYPE_CHECKING:
    from tgdpo_core.scoring.pairs import ScoredPair

FILE = "tokens.json"
_MOST_TOKENS = 300  # of a response
_MOST_CHARACTERS = 2000  # of a prompt
_DIGITS = 6


@dataclass(frozen=True)
class PairGroup:
    """Some pairs that are shown for one reason.

    Attributes:
        title: the reason, a heading.
        of: among which pairs they are the extreme ones, a sentence.
        pairs: most extreme first.
    """

    title: str
    of: str
    pairs: Sequence[HeatPair]


@dataclass(frozen=True)
class TokenSheet:
    """What a run says of its tokens.

    Attributes:
        num_pairs: pairs that the distributions are of.
        num_trained: pairs of the training set; more than ``num_pairs`` where a sample was taken.
        distributions: see ``Diagnostics``.
        groups: pairs.
    """

    num_pairs: int
    num_trained: int
    distributions: Sequence[Distribution]
    groups: Sequence[PairGroup]


def group(
    title: str,
    of: str,
    pairs: "Sequence[tuple[ScoredPair, str]]",
    token_name: Callable[[int], str],
) -> PairGroup:
    """Return pairs as they are shown, long ones cut.

    Args:
        title: see ``PairGroup``.
        of: see ``PairGroup``.
        pairs: each with a note.
        token_name: name of a token id, for tokens without text.
    """
    return PairGroup(
        title,
        of,
        [
            _cut(heat_pair(pair, token_name, most_tokens=_MOST_TOKENS, note=note))
            for pair, note in pairs
        ],
    )


def _cut(pair: HeatPair) -> HeatPair:
    rest = len(pair.prompt) - _MOST_CHARACTERS
    if rest <= 0:
        return pair
    # The end of a prompt says what is asked for.
    shown = f"\N{HORIZONTAL ELLIPSIS} ({rest} characters before this)\n"
    return dataclasses.replace(pair, prompt=shown + pair.prompt[rest:])


def sheet_text(sheet: TokenSheet) -> str:
    """Return the sheet as JSON, numbers in six significant digits."""
    return json.dumps(_rounded(dataclasses.asdict(sheet)), ensure_ascii=True)


def read_sheet(path: Path) -> TokenSheet:
    """Return the sheet that a run has written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    from pydantic import TypeAdapter

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return TypeAdapter(TokenSheet).validate_python(values)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
