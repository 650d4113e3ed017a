"""Step 5, ScoredTable -> Prepared: what rewards and weights look like, before training begins."""

import dataclasses
import inspect
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from tgdpo_core.data.pairs import data_fingerprint
from tgdpo_core.data.source_code import code_hash
from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.evaluation.known_errors import known_errors
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.live_code import live_code
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.scored_table import Scored, ScoredTable, score
from tgdpo_core.preparation.scoring import score_tokens, scorer_of
from tgdpo_core.preparation.tokens import Tokens
from tgdpo_core.preparation.usable_weights import require_usable_weights
from tgdpo_core.reports.diagnostics import Diagnostics, diagnose
from tgdpo_core.scoring.guard import process_kept
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.rounding import Rounding
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.weights import each_kept
from tgdpo_core.store.tables import cached_table

logger = logging.getLogger(__name__)

MOST_DIAGNOSED = 20_000  # pairs; of more, as many are taken at equal distances

_FILE = "diagnostics.json"


@dataclass(frozen=True)
class Prepared:
    """Everything that training reads.

    Attributes:
        scored: the tables.
        diagnostics: of the training pairs, or of a sample of them.
    """

    scored: Scored
    diagnostics: Diagnostics


def prepare(
    scored: Scored,
    scorer: Scorer,
    *,
    shaping: tuple[str, Shaping],
    beta: float,
    judge: tuple[str, Judge] | None,
) -> Prepared:
    """Return scored tables with their diagnostics; signs of trouble are logged.

    Up to 20,000 pairs are looked at, so transforms and shaping are checked before training begins.
    What was found is kept in the store: the same rewards and weights are diagnosed once.

    Args:
        scored: the tables.
        scorer: what has scored them.
        shaping: rewards to weights.
        beta: the run's beta.
        judge: one that may know errors, with its name.
    """
    diagnostics = diagnosed(scored, scorer, shaping=shaping, beta=beta, judge=judge)
    require_usable_weights(diagnostics, beta=beta)
    is_plain_dpo = all(source.name == "none" for source in scorer.sources)
    if PartialState().is_main_process and not is_plain_dpo:
        for sign in diagnostics.warnings:
            logger.warning("%s", sign.message)
    return Prepared(scored, diagnostics)


def diagnosed(
    scored: Scored,
    scorer: Scorer,
    *,
    shaping: tuple[str, Shaping],
    beta: float,
    judge: tuple[str, Judge] | None,
) -> Diagnostics:
    """Return the diagnostics of scored tables (see ``prepare``), whatever they say."""
    sample = sample_of(scored.train)
    is_error = None
    if judge:
        is_error = known_errors(judge, [sample.tokens[row] for row in range(len(sample))])
    roundings = [scorer.rounding(source) for source in scorer.stored]
    if any(source.is_dynamic for source in scorer.sources):
        return _diagnose(sample, is_error, roundings)
    document = _document(sample, scorer, shaping, beta, is_error)
    document["roundings"] = [each and dataclasses.asdict(each) for each in roundings]
    folder = cached_table(
        scorer.settings.store,
        "diagnostics",
        document,
        lambda staged: _write(_diagnose(sample, is_error, roundings), staged),
    )
    return Diagnostics.from_dict(json.loads((folder / _FILE).read_text()))


def sample_of(table: ScoredTable) -> ScoredTable:
    """Return the pairs that are diagnosed: all of them, or as many as fit at equal distances."""
    if len(table) <= MOST_DIAGNOSED:
        return table
    return table.take(np.linspace(0, len(table) - 1, MOST_DIAGNOSED).astype(int).tolist())


def _diagnose(
    sample: ScoredTable,
    is_error: Mapping[Side, Any] | None,
    roundings: Sequence[Rounding | None],
) -> Diagnostics:
    found = None
    try:
        with process_kept(f"{sample.plugins()}, on the training set"):
            found = diagnose(sample, sample.by_source(), is_error=is_error, roundings=roundings)
    except PluginError:
        if found is not None:  # nothing failed, but one of them moved what must be kept: which one?
            with each_kept():
                diagnose(sample, sample.by_source(), is_error=is_error, roundings=roundings)
        raise
    return found


def _write(diagnostics: Diagnostics, folder: Path) -> None:
    values = {f.name: getattr(diagnostics, f.name) for f in dataclasses.fields(diagnostics)}
    text = json.dumps(values, default=dataclasses.asdict)
    (folder / _FILE).write_text(text)


def _document(
    sample: ScoredTable,
    scorer: Scorer,
    shaping: tuple[str, Shaping],
    beta: float,
    is_error: Mapping[Side, Any] | None,
) -> dict[str, Any]:
    """Return JSON of everything that the diagnostics depend on."""
    tokens = sample.tokens
    document = {
        "pairs": [data_fingerprint(tokens.ids_hashes), data_fingerprint(tokens.text_hashes)],
        "keys": scorer.keys,
        "sources": [source.describe() for source in scorer.sources],
        "scales": [source.reward.scale(beta) for source in scorer.sources],
        "states": sample.transform_states(),
        "transforms": [_class(t) for source in scorer.sources for _, t in source.transforms],
        "shaping": [shaping[0], shaping[1].options(), _class(shaping[1])],
        "errors": {
            side: data_fingerprint(mask.astype(np.uint8)) for side, mask in (is_error or {}).items()
        },
        "code": code_hash("reports", "scoring", "preparation"),
    }
    as_json: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return as_json


def _class(plugin: Any) -> str:
    """Return a name of a plugin's class that moves with its source."""
    cls = type(plugin)
    try:
        source = inspect.getsource(inspect.getmodule(cls) or cls)
    except (OSError, TypeError):  # of a notebook or an interactive session
        source = live_code(cls)
    return f"{cls.__module__}.{cls.__qualname__} {data_fingerprint(_bytes(source))}"


def _bytes(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(text.encode(), np.uint8)


def prepare_plan(plan: Plan, tokens: Tokens) -> tuple[Prepared, Scorer]:
    """Return a plan's pairs scored and diagnosed, and what has scored them."""
    scorer = scorer_of(plan, tokens.tokenizer, tokens.train)
    section, judge = plan.recipe.judging, plan.judge
    prepared = prepare(
        score_tokens(plan, tokens, scorer),
        scorer,
        shaping=plan.shaping,
        beta=plan.recipe.loss.beta,
        judge=(section.judge, judge) if section and judge else None,
    )
    return prepared, scorer


def scored_rows(plan: Plan, tokens: Tokens, rows: Sequence[int]) -> list[ScoredPair]:
    """Return some scored training pairs.

    Only these are scored, unless a transform is fitted on the whole training set.

    Args:
        plan: what is scored.
        tokens: its pairs.
        rows: numbers of training pairs, those left out not counted.

    Raises:
        UsageError: a number that no pair has.
    """
    table = tokens.train
    outside = [row for row in rows if not 0 <= row < len(table)]
    if outside:
        raise UsageError(f"There is no row {outside[0]}: training pairs are 0-{len(table) - 1}.")
    transforms = [t for source in plan.sources for _, t in source.transforms]
    is_fitted = any(type(t).fit is not Transform.fit for t in transforms)
    chosen = table if is_fitted else table.take(rows)
    scored = score(
        scorer_of(plan, tokens.tokenizer, tokens.train),
        chosen,
        {},
        shaping=plan.shaping,
        beta=plan.recipe.loss.beta,
    )
    return [scored.train[row] for row in (rows if is_fitted else range(len(rows)))]
