"""The numbers that each tool itself makes of its judgements, by its own published rules."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tgdpo_core.exchange.judgements import Compared, Graded, Judged

_TIE = 0.5
_J = TypeVar("_J", bound=Judged)


@dataclass(frozen=True)
class Headline:
    """What a tool says of one model.

    Attributes:
        model: its name.
        group: of which judgements: who judged, compared with whom, which category or turn.
        values: numbers by the tool's name for them.
    """

    model: str
    group: str
    values: dict[str, float]


def alpaca_eval_headlines(compared: Sequence[Compared]) -> list[Headline]:
    """Return win rates in percent, as ``alpaca_eval.metrics.get_winrate``.

        win_rate = 100 mean(preference - 1)
        standard_error = 100 sd / sqrt(n)

    A tie is half a win. ``discrete_win_rate`` first rounds each preference to win, loss or tie.
    ``length_controlled_winrate`` is the mean of what AlpacaEval's own regression wrote beside every
    preference (``glm_preference``), where it did; the regression is not fitted again. Where some
    rows have it and others have not, there is no such rate, and ``n_glm_preference`` says how many.
    """
    found = []
    for (model, group), rows in _groups(compared, _against).items():
        values = _win_rates([each.either_first or 0.0 for each in rows])
        controlled = [each.controlled for each in rows if each.controlled is not None]
        if len(controlled) == len(rows):
            values |= {
                "length_controlled_winrate": float(100 * np.mean(controlled)),
                "lc_standard_error": 100 * _standard_error(np.asarray(controlled)),
            }
        elif controlled:
            values["n_glm_preference"] = len(controlled)
        found.append(Headline(model, group, values))
    return found


def _win_rates(values: Sequence[float]) -> dict[str, float]:
    wins = np.asarray(values, dtype=np.float64)
    num_wins, num_losses = int((wins > _TIE).sum()), int((wins < _TIE).sum())
    num_draws = len(wins) - num_wins - num_losses
    return {
        "win_rate": float(100 * wins.mean()),
        "standard_error": 100 * _standard_error(wins),
        "discrete_win_rate": 100 * (num_wins + num_draws / 2) / len(wins),
        "n_wins": num_wins,
        "n_wins_base": num_losses,
        "n_draws": num_draws,
        "n_total": len(wins),
    }


def _standard_error(values: np.ndarray[Any, Any]) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def mt_bench_grades(graded: Sequence[Graded]) -> list[Headline]:
    """Return mean scores as FastChat's ``show_result.py --mode single``, and by category.

    The average is that of all judgements, not of the two turns' means: they differ where a turn
    has more of them.
    """
    found = []
    for (model, judge), rows in _groups(graded, lambda each: each.judge).items():
        categories = sorted({each.category for each in rows if each.category})
        for category in (None, *categories):
            some = [each for each in rows if category in (None, each.category)]
            label = f"{judge}, {category}" if category else judge
            found.append(Headline(model, label, _by_turn(some)))
    return found


def _by_turn(rows: Sequence[Graded]) -> dict[str, float]:
    parts = {
        "first turn": [each.score for each in rows if each.turn == 1],
        "second turn": [each.score for each in rows if each.turn == 2],
        "average": [each.score for each in rows],
    }
    means = {name: float(np.mean(scores)) for name, scores in parts.items() if scores}
    return {**means, "judgements": len(rows)}


def mt_bench_pairs(compared: Sequence[Compared], baseline: str | None = None) -> list[Headline]:
    """Return win rates as FastChat's ``show_result.py --mode pairwise-all``, over all opponents.

    A win is one in both orders; a tie, or two orders that differ, is a tie; questions with an error
    in either order are left out. ``win_rate_adjusted`` counts a tie as half a win.

    Args:
        compared: questions that were judged.
        baseline: only comparisons with this model (``--mode pairwise-baseline``).
    """
    outcomes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in compared:
        result = _fastchat_result(each.model_first, each.other_first)
        if result is not None and baseline in (None, each.model, each.other):
            outcomes[each.model, each.judge].append(result)
            outcomes[each.other, each.judge].append(1 - result)
    against = f"against {baseline}" if baseline else "against all"
    return [
        Headline(model, f"{against} by {judge}", _pairwise_rates(results))
        for (model, judge), results in sorted(outcomes.items())
        if model != baseline
    ]


def _fastchat_result(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return first if first == second else _TIE


def _pairwise_rates(outcomes: Sequence[float]) -> dict[str, float]:
    win, loss, tie = (outcomes.count(value) for value in (1.0, 0.0, _TIE))
    total = len(outcomes)
    return {
        "win_rate": win / total,
        "loss_rate": loss / total,
        "win_rate_adjusted": (win + tie / 2) / total,
        "win": win,
        "loss": loss,
        "tie": tie,
    }


def arena_v01_scores(compared: Sequence[Compared]) -> list[Headline]:
    """Return the scores of Arena-Hard v0.1, in percent against the baseline.

    Source: ``show_result.py`` of v0.1 fits Bradley-Terry to battles, a strong verdict being three,
    and gives the win rate against the baseline that follows. Models meet nobody but the baseline,
    so the fit is that of each model alone, whose likelihood is greatest where the model's win rate
    is the observed one: score = 100 mean(battles), a tie counted as half. Without a verdict only
    that game is left out.
    """
    return [
        Headline(model, group, _battles(verdict for each in rows for verdict in each.verdicts))
        for (model, group), rows in _groups(compared, _against).items()
    ]


def arena_v2_scores(compared: Sequence[Compared]) -> list[Headline]:
    """Return the scores of Arena-Hard v2, in percent against the baseline, by category.

    Source: ``show_result.py`` of v2 averages battles, a strong verdict being three, over bootstrap
    samples; this is the average that its mean is an estimate of. A question without both verdicts
    is left out.
    """
    whole = [e for e in compared if e.model_first is not None and e.other_first is not None]
    return [
        Headline(model, group, _battles(verdict for each in rows for verdict in each.verdicts))
        for (model, group), rows in _groups(
            whole, lambda each: f"{_against(each)}, {each.category}"
        ).items()
    ]


def _battles(verdicts: Iterable[tuple[float, int]]) -> dict[str, float]:
    values, weights = np.array(list(verdicts), dtype=np.float64).T
    return {
        "score": float(100 * np.average(values, weights=weights)),
        "verdicts": len(values),
        "battles": float(weights.sum()),
    }


def _against(each: Compared) -> str:
    return f"against {each.other} by {each.judge}"


def _groups(judged: Sequence[_J], label: Callable[[_J], str]) -> dict[tuple[str, str], list[_J]]:
    groups: dict[tuple[str, str], list[_J]] = defaultdict(list)
    for each in judged:
        groups[each.model, label(each)].append(each)
    return dict(groups)
