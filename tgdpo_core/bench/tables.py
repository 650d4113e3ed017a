"""The tables of a bench: terminal, bench.md and bench.html show the same cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.bench.measures import MEASURES, Measures
from tgdpo_core.bench.results import BenchResults, Judged
from tgdpo_core.evaluation.intervals import Estimate
from tgdpo_core.reports.failure_signs import rounding_signs

NOTHING = "-"
_MAIN = ("token_auc", "step_auc", "matched_auc", "within_auc", "f1", "pair_accuracy", "brier_skill")
_SECOND = (
    "error_accuracy",
    "correct_accuracy",
    "lowest_accuracy",
    "pair_sum_accuracy",
    "ece",
    "raw_ece",
    "length_correlation",
)


@dataclass(frozen=True)
class Table:
    """A heading, the names of the columns, and rows of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(results: BenchResults) -> list[Table]:
    """Return all tables; columns without any number are left out."""
    lines = list(_lines(results))
    return [
        _of_measures("Do low rewards mark errors?", _MAIN, lines),
        _of_measures("First error, pairs, calibration, length", _SECOND, lines),
        _gains(results),
        Table(
            "Signs and scale",
            ("reward", "signs", "positive", "negative", "mean", "RMS"),
            [
                (
                    name,
                    found.signs,
                    f"{found.positive_share:.1%}",
                    f"{found.negative_share:.1%}",
                    f"{found.mean:.3g}",
                    f"{found.rms:.3g}",
                )
                for name, found in lines
            ],
        ),
    ]


def _lines(results: BenchResults) -> Iterator[tuple[str, Measures]]:
    for reward in results.rewards:
        yield reward.label, reward.measures
        for name, found in reward.controls.items():
            yield f"{reward.label} + {name}", found


def _of_measures(title: str, names: Sequence[str], lines: Sequence[tuple[str, Measures]]) -> Table:
    known = [
        name
        for name in names
        if any(_value(found.estimates, name) is not None for _, found in lines)
    ]
    rows = [
        (label, *(shown(found.estimates.get(name)) for name in known)) for label, found in lines
    ]
    return Table(title, ("reward", *(MEASURES[name] for name in known)), rows)


def _value(estimates: Mapping[str, Estimate], name: str) -> float | None:
    return estimates[name].value if name in estimates else None


def _gains(results: BenchResults) -> Table:
    names = list(dict.fromkeys(name for reward in results.rewards for name in reward.gains))
    return Table(
        "Step AUC minus that of a control",
        ("reward", *names),
        [
            (reward.label, *(shown(reward.gains.get(name), sign=True) for name in names))
            for reward in results.rewards
            if reward.gains
        ],
    )


def shown(value: Estimate | None, *, sign: bool = False) -> str:
    """Return a number with its interval."""
    if value is None or value.value is None:
        return NOTHING
    form = "+.3f" if sign else ".3f"
    interval = (
        ""
        if value.low is None or value.high is None
        else f" [{value.low:{form}}, {value.high:{form}}]"
    )
    return f"{value.value:{form}}{interval}"


def findings(results: BenchResults) -> list[str]:
    """Return what the intervals allow to be said of each reward, and which are mostly rounding."""
    said = [sentence for reward in results.rewards if (sentence := _finding(reward))]
    rounded = [rounding_signs(reward.label, reward.rounding) for reward in results.rewards]
    return said + [sign.message for signs in rounded for sign in signs]


def _finding(reward: Judged) -> str:
    auc = reward.measures.estimates.get("step_auc")
    if not reward.gains or auc is None or auc.value is None or auc.low is None or auc.high is None:
        return ""
    above = [name for name, gain in reward.gains.items() if gain.low is not None and gain.low > 0]
    below = [name for name, gain in reward.gains.items() if gain.high is not None and gain.high < 0]
    if auc.low > 0.5:
        text = f"{reward.label}: low values mark wrong steps (AUC {auc.value:.3f})"
    elif auc.high < 0.5:
        text = f"{reward.label}: high values mark wrong steps (AUC {auc.value:.3f})"
        text += ": the sign is off" if "permute" in below else ""
    else:
        text = f"{reward.label}: its step AUC of {auc.value:.3f} is not distinguishable from chance"
    text += f"; above {', '.join(above)}" if above else "; above none of its controls"
    return text + (f"; below {', '.join(below)}." if below else ".")


def compared(results: BenchResults, old: Mapping[str, Any]) -> tuple[list[str], Table]:
    """Return warnings, and the measures of rewards that both benches have, old beside new.

    Rewards are matched by their name; that their keys differ is said.
    """
    warnings = []
    if old["data"].get("key") != results.data["key"]:
        warnings.append(
            f"Other rows or tokens: {old['data'].get('path')} (key {old['data'].get('key')}) "
            f"before, {results.data['path']} (key {results.data['key']}) now. "
            "The numbers are not of the same thing."
        )
    if old["data"].get("settings") != results.data["settings"]:
        warnings.append(
            f"Other settings: {old['data'].get('settings')} before, {results.data['settings']} now."
        )
    before = {reward["label"]: reward for reward in old["rewards"]}
    rows = []
    for reward in results.rewards:
        then = before.get(reward.label)
        if then is None:
            continue
        if then["key"] != reward.key:
            warnings.append(f"{reward.label}: the reward is another one than before (other key).")
        rows += [
            (reward.label, MEASURES[name], shown(_estimate(then, name)), shown(now))
            for name, now in reward.measures.estimates.items()
            if now.value is not None
        ]
    missing = sorted(before.keys() - {reward.label for reward in results.rewards})
    if missing:
        warnings.append(f"Not in this bench: {', '.join(missing)}.")
    return warnings, Table("Before and now", ("reward", "measure", "before", "now"), rows)


def _estimate(reward: Mapping[str, Any], name: str) -> Estimate | None:
    found = reward["estimates"].get(name)
    return Estimate(found["value"], found["low"], found["high"]) if found else None
