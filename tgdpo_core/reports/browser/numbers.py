"""One number a pair for everything that the browser sorts and filters by, in one pass.

Legend: P pairs, S sources.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.progress import stage
from tgdpo_core.reports.failure_signs import IMBALANCE, NEGLIGIBLE_STD, OUTLIER
from tgdpo_core.reports.heatmap import scale_of
from tgdpo_core.scoring.pairs import ScoredPair

Array = np.ndarray[Any, Any]
Errors = Callable[[Sequence[TokenizedPair]], Mapping[Side, Array] | None]
"""From pairs to the marked error tokens of each side, [N] bool, response after response."""

_BATCH = 256
_SAMPLED = 200_000  # token values that scales are taken from

COLUMNS = {
    "number": "number of the pair",
    "gap": "mean reward, chosen minus rejected",
    "mean": "mean reward",
    "mean_chosen": "mean reward of the chosen response",
    "mean_rejected": "mean reward of the rejected response",
    "largest": "largest |reward|",
    "disagreement": "disagreement of the rewards",
    "weight_gap": "mean weight, chosen minus rejected",
    "errors": "marked error tokens",
    "error_gap": "mean reward of error tokens minus others",
    "tokens": "response tokens",
}

# Bits of the column ``signs``: those of ``failure_signs``, for one pair.
SIGNS = {
    "against": "the reward is against the preference (mean of chosen below rejected)",
    "sign-flips": "negative weights",
    "displacement": "mean f_w below mean f_l",
    "negligible": "weights hardly vary",
    "outliers": f"a reward above {OUTLIER:g} times the RMS of the data set",
    "wrong-way": "error tokens have the higher rewards",
    "truncated": "a response was cut",
}


@dataclass(frozen=True)
class PairSource:
    """The pairs that are browsed.

    Attributes:
        scored: all of them.
        sources: name of every source of rewards, and the pairs with its rewards alone; empty where
            there is one, whose rewards are those of ``scored``.
        errors: finds marked errors; None where nobody marked any.
        token_name: name of a token id, for tokens without text.
        facts: label and value of what was scored.
        signs: failure signs of the data set, sentences.
        numbers: of the pairs among the training pairs, [P].
    """

    scored: Sequence[ScoredPair]
    sources: Sequence[tuple[str, Sequence[ScoredPair]]]
    errors: Errors | None
    token_name: Callable[[int], str]
    facts: Sequence[tuple[str, str]]
    signs: Sequence[str]
    numbers: Sequence[int]


@dataclass(frozen=True)
class PairNumbers:
    """What is known of every pair.

    Attributes:
        columns: name (``COLUMNS``) to [P] float64; those that say nothing here are left out.
        signs: [P] int64, the bits of ``SIGNS``.
        found: names of ``SIGNS`` to the number of their pairs.
        reaches: of the colour scales: ``reward``, ``weight``, and one for each source.
        rms: of every source's token rewards.
    """

    columns: Mapping[str, Array]
    signs: Array
    found: Mapping[str, int]
    reaches: Mapping[str, float]
    rms: Sequence[float]


@dataclass
class _Pass:
    """Values kept on the way.

    Attributes:
        rows: ``_FIELDS`` of each pair, flat.
        products: [S, S] of each pair.
        samples: token values for each scale, every ``stride``-th token of the data set.
        stride: see ``samples``.
        num_tokens: tokens so far.
    """

    rows: "array[float]"
    products: list[Array]
    samples: list[list[Array]]
    stride: int
    num_tokens: int = 0


_FIELDS = (
    *("mean", "mean_chosen", "mean_rejected", "largest", "weight_gap", "errors", "error_gap"),
    *("tokens", "squares", "least", "f_w", "f_l", "spread", "cut"),
)


@dataclass(frozen=True)
class Seen:
    """A pair as it was read.

    Attributes:
        row: of ``PairSource.scored``.
        scored: with the sum of all rewards.
        alone: [T] rewards of every source of several.
        errors: [T] bool, marked error tokens; None where none are known.
    """

    row: int
    scored: ScoredPair
    alone: Sequence[Array]
    errors: Array | None


def look(pairs: PairSource, rows: Sequence[int]) -> list[Seen]:
    """Return some pairs as they are browsed."""
    scored = [pairs.scored[row] for row in rows]
    masks = _masks(pairs, scored)
    return [
        Seen(row, pair, [each[row].token_rewards.numpy() for _, each in pairs.sources], mask)
        for row, pair, mask in zip(rows, scored, masks, strict=True)
    ]


def pair_numbers(
    pairs: PairSource, *, per_part: int = 1, observe: Callable[[list[Seen]], None] | None = None
) -> PairNumbers:
    """Return the numbers of all pairs; each is read once and forgotten.

    ``disagreement`` is the root mean square, over the response tokens of a pair, of the difference
    of two rewards that are divided by their RMS over all pairs; of several sources the two that
    differ most.

    Args:
        pairs: what is browsed.
        per_part: ``observe`` gets whole parts of so many pairs, but for the last.
        observe: is shown all pairs in their order.
    """
    samples: list[list[Array]] = [[] for _ in range(2 + len(pairs.sources))]
    kept = _Pass(array("d"), [], samples, max(1, _stride(pairs)))
    size = per_part * -(-_BATCH // per_part)
    with stage("looking at pairs", len(pairs.scored), "pair") as bar:
        for start in range(0, len(pairs.scored), size):
            seen = look(pairs, range(start, min(start + size, len(pairs.scored))))
            for each in seen:
                _keep(kept, each)
            if observe:
                observe(seen)
            bar.update(len(seen))
    return _gathered(pairs, kept)


def _keep(kept: _Pass, seen: Seen) -> None:
    kept.rows.extend(_row(seen.scored, seen.errors))
    if seen.alone:
        stacked = np.stack(seen.alone).astype(np.float64)
        kept.products.append(stacked @ stacked.T)
    scored = seen.scored
    values = (scored.token_rewards.numpy(), scored.weights.numpy(), *seen.alone)
    for sample, each in zip(kept.samples, values, strict=True):
        sample.append(each[-kept.num_tokens % kept.stride :: kept.stride].copy())
    kept.num_tokens += len(scored.token_rewards)


def _stride(pairs: PairSource) -> int:
    first = [len(pairs.scored[row].token_rewards) for row in range(min(20, len(pairs.scored)))]
    return int(np.mean(first or [1]) * len(pairs.scored)) // _SAMPLED


def _masks(pairs: PairSource, scored: Sequence[ScoredPair]) -> Iterator[Array | None]:
    """Yield the error tokens of every pair, chosen first; None where none are known."""
    found = pairs.errors([each.pair for each in scored]) if pairs.errors else None
    if found is None:
        yield from (None for _ in scored)
        return
    at = {"chosen": 0, "rejected": 0}
    for each in scored:
        parts = []
        for side, mask in (("chosen", found["chosen"]), ("rejected", found["rejected"])):
            size = len(each.pair.chosen.ids if side == "chosen" else each.pair.rejected.ids)
            parts.append(mask[at[side] : at[side] + size])
            at[side] += size
        yield np.concatenate(parts)


def _row(scored: ScoredPair, errors: Array | None) -> list[float]:
    """Return the values of ``_FIELDS``."""
    cut = len(scored.pair.chosen.ids)
    r, f = (v.numpy().astype(np.float64) for v in (scored.token_rewards, scored.weights))
    f_w, f_l = f[:cut], f[cut:]
    has_both = errors is not None and bool(errors.any()) and not bool(errors.all())
    sides = (scored.pair.chosen, scored.pair.rejected)
    return [
        _mean(r),
        _mean(r[:cut]),
        _mean(r[cut:]),
        float(np.abs(r).max(initial=0.0)),
        _mean(f_w) - _mean(f_l),
        np.nan if errors is None else float(errors.sum()),
        float(r[errors].mean() - r[~errors].mean()) if has_both and errors is not None else np.nan,
        float(len(r)),
        float((r * r).sum()),
        float(f.min(initial=1.0)),
        _mean(f_w),
        _mean(f_l),
        max(_std(f_w), _std(f_l)),
        float(any(len(side.ids) < side.num_untruncated for side in sides)),
    ]


def _gathered(pairs: PairSource, kept: _Pass) -> PairNumbers:
    table = np.array(kept.rows, np.float64).reshape(-1, len(_FIELDS))
    found = dict(zip(_FIELDS, table.T, strict=True))
    rms = float(np.sqrt(found["squares"].sum() / max(1.0, found["tokens"].sum())))
    columns = {"number": np.asarray(pairs.numbers, np.float64)}
    columns["gap"] = found["mean_chosen"] - found["mean_rejected"]
    shown = ("mean", "mean_chosen", "mean_rejected", "largest", "weight_gap", "tokens")
    columns |= {name: found[name] for name in shown}
    has_marks = bool(np.isfinite(found["errors"]).any())
    if has_marks:
        columns |= {"errors": found["errors"], "error_gap": found["error_gap"]}
    scales = [1.0]
    if kept.products:
        products = np.stack(kept.products)
        squares = np.diagonal(products.sum(0))
        scales = np.sqrt(squares / max(1.0, found["tokens"].sum())).tolist()
        columns["disagreement"] = _disagreement(products, np.array(scales), found["tokens"])
    flags = {
        "against": columns["gap"] < 0,
        "sign-flips": found["least"] < 0,
        "displacement": found["f_w"] < (1 - IMBALANCE) * found["f_l"],
        "negligible": found["spread"] < NEGLIGIBLE_STD,
        "outliers": found["largest"] > OUTLIER * rms,
        "wrong-way": found["error_gap"] > 0,
        "truncated": found["cut"] > 0,
    }
    signs = sum(flags[name].astype(np.int64) << bit for bit, name in enumerate(SIGNS))
    names = ("reward", "weight", *(f"source {i}" for i in range(len(pairs.sources))))
    return PairNumbers(
        columns={name: columns[name] for name in COLUMNS if name in columns},
        signs=np.asarray(signs, np.int64),
        found={name: int(flags[name].sum()) for name in SIGNS},
        reaches={n: _reach(s, n) for n, s in zip(names, kept.samples, strict=True)},
        rms=scales if kept.products else [rms],
    )


def _disagreement(products: Array, rms: Array, tokens: Array) -> Array:
    """Return [P] from the products [P, S, S] of the sources' rewards on the tokens of each pair."""
    scaled = products / np.where(np.outer(rms, rms) > 0, np.outer(rms, rms), 1.0)
    squares = np.diagonal(scaled, axis1=1, axis2=2)
    between = squares[:, :, None] + squares[:, None, :] - 2 * scaled
    return np.sqrt(np.maximum(between, 0.0).max(axis=(1, 2)) / np.maximum(tokens, 1.0))


def _reach(samples: Sequence[Array], name: str) -> float:
    values = np.concatenate([*samples, np.zeros(0)])
    middle = 1.0 if name == "weight" else 0.0
    return scale_of(values[np.isfinite(values)], middle).reach


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _std(values: Array) -> float:
    return float(values.std()) if len(values) else 0.0
