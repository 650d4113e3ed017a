"""The figure of a bench: step AUCs with their intervals, and reliability beside them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core.bench.results import BenchResults, Judged
from tgdpo_core.reports.figures import COLOURS, INK, STYLE, Plot, svg_of
from tgdpo_core.reports.visible import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _ROW, _MARGIN = 9.2, 0.26, 0.9
_LONGEST = 34


def figure(results: BenchResults) -> Plot:
    """Return the figure; colours are those of the rewards, controls are small and hollow."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    num_rows = sum(1 + len(reward.controls) for reward in results.rewards)
    with mpl.rc_context({**STYLE, "svg.hashsalt": "bench"}):
        drawn = Figure(figsize=(_WIDTH, max(2.9, _MARGIN + _ROW * num_rows)), layout="constrained")
        left, right = drawn.subplots(1, 2, width_ratios=(1.35, 1))
        _aucs(left, results.rewards)
        _reliability(right, results.rewards)
        return Plot(
            "bench",
            "Step AUC, and reliability",
            "Left: the chance that a wrong step has a lower value than a right one, with 95 % "
            "intervals over problems; hollow: controls; the line is chance. Right: the chance of "
            "an error that a reward's steps give on held-out problems, against the share that is "
            "wrong; dots are larger where there are more steps.",
            svg_of(drawn),
        )


def _look(index: int, reward: Judged) -> str:
    return COLOURS[index % len(COLOURS)] if reward.described else INK


def _aucs(axes: "Axes", rewards: Sequence[Judged]) -> None:
    names: list[str] = []
    for index, reward in enumerate(rewards):
        lines = [(reward.label, reward.measures, True)]
        lines += [(f"+ {name}", found, False) for name, found in reward.controls.items()]
        for name, found, is_itself in lines:
            auc = found.estimates["step_auc"]
            if auc.value is not None:
                colour = _look(index, reward)
                _dot(axes, len(names), auc, colour, is_solid=is_itself)
            names.append(_short(name))
    axes.axvline(0.5, color=INK, linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("step AUC")


def _dot(axes: "Axes", row: int, auc: Any, colour: str, *, is_solid: bool) -> None:
    if auc.low is not None and auc.high is not None:
        width = 1.8 if is_solid else 1.0
        axes.plot([auc.low, auc.high], [row, row], color=colour, linewidth=width)
    size, face = (6, colour) if is_solid else (4, "none")
    axes.plot([auc.value], [row], "o", color=colour, markersize=size, markerfacecolor=face)


def _reliability(axes: "Axes", rewards: Sequence[Judged]) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1)
    for index, reward in enumerate(rewards):
        bins = reward.measures.reliability
        if not reward.described or not bins:
            continue
        total = sum(each.count for each in bins)
        x, y = [each.predicted for each in bins], [each.observed for each in bins]
        axes.plot(x, y, color=_look(index, reward), label=_short(reward.label), linewidth=1.2)
        axes.scatter(x, y, [8 + 60 * each.count / total for each in bins], _look(index, reward))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="chance of an error", ylabel="wrong")
    axes.legend(loc="upper left")


def _short(name: str) -> str:
    name = escaped(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
