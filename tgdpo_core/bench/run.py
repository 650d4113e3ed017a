"""A bench from request to results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.bench.folds import problem_folds
from tgdpo_core.bench.measures import Measures, measure
from tgdpo_core.bench.request import BenchRequest, RewardEntry
from tgdpo_core.bench.results import BenchResults, Judged, data_facts
from tgdpo_core.bench.scoring import Reading, Rewards, StoredValues, positions, tokenize_rows
from tgdpo_core.errors import DataError, RecipeError
from tgdpo_core.evaluation.intervals import Statistic, estimate, resampled_clusters
from tgdpo_core.marks.reading import read_marked_rows
from tgdpo_core.marks.responses import MarkedRow
from tgdpo_core.marks.tokens import ERROR, MarkedTokens, mark_tokens
from tgdpo_core.models.loading import load_tokenizer
from tgdpo_core.models.paths import resolve_model_path
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import registered_model, special_tokens_rule
from tgdpo_core.preparation.references import given_reference
from tgdpo_core.progress import StageBar, stage
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import ScoringSettings
from tgdpo_core.scoring.sources import RewardSource, find_source, make_transform
from tgdpo_core.store.folder import default_store_path

Array = np.ndarray[Any, Any]


def bench(request: BenchRequest, plugins: PluginManager) -> BenchResults:
    """Return how well the rewards of a request find the marked errors.

    Raises:
        TgdpoError: a name that does not exist, rows without marks, a reward that fails.
    """
    sources = [_source(entry, plugins) for entry in request.rewards]
    rows, report = read_marked_rows(request.source, plugins)
    model = _model(request, plugins)
    tokenizer = load_tokenizer(model)
    reading = Reading(
        request.max_length,
        special_tokens_rule("auto", request.source.path, plugins),
        request.source.on_bad_row,
    )
    tokenized = tokenize_rows(rows, tokenizer, report, reading)
    marks = mark_tokens(tokenized.rows, tokenized.table)
    _require_marks(marks, request)
    random = find_source(plugins, "random")
    scorer = _scorer(request, model, tokenizer, [*sources, random])
    rewards = Rewards(tokenized, scorer, request.beta)
    controls = _under(_controls(request, tokenized.rows), plugins)
    stored = [rewards.stored(source) for source in (random, *sources)]
    with stage("measuring", 2 + len(sources) * (1 + len(controls)), "reward") as bar:
        judge = _Judge(request, marks, bar)
        floor = {
            "position": judge(positions(marks.lengths)),
            "random": judge(rewards.values(random, stored[0][0])),
        }
        judged = [
            _judged(entry, (source, *values), rewards, judge, controls, floor["position"])
            for entry, source, values in zip(request.rewards, sources, stored[1:], strict=True)
        ]
    return BenchResults(
        data=data_facts(request, report, marks, tokenized, tokenizer),
        rewards=[*judged, *(Judged.floor(name, found) for name, (found, _) in floor.items())],
    )


class _Judge:
    """Measures values on one set of marks, with the same folds and resamples for all."""

    def __init__(self, request: BenchRequest, marks: MarkedTokens, bar: StageBar) -> None:
        self._marks = marks
        self._bar = bar
        self._step_value = request.step_value
        folds = min(request.num_folds, marks.num_problems)
        self._folds = problem_folds(marks.num_problems, folds, seed=request.seed)
        # Of one problem there are no resamples: no interval says nothing, one of no width lies.
        self.weights = resampled_clusters(
            np.arange(marks.num_problems), request.num_resamples, seed=request.seed
        )

    def __call__(self, values: Array, *, is_control: bool = True) -> tuple[Measures, Statistic]:
        """Return the measures of [N] rewards, and their step AUC as a statistic."""
        found = measure(
            values,
            self._marks,
            self._folds,
            self.weights,
            step_value=self._step_value,
            may_be_chances=not is_control,
        )
        self._bar.update()
        return found


Controls = Sequence[tuple[str, Any]]


def _judged(
    entry: RewardEntry,
    scored: tuple[RewardSource, StoredValues, str],
    rewards: Rewards,
    judge: _Judge,
    controls: Controls,
    position: tuple[Measures, Statistic],
) -> Judged:
    source, stored, stored_key = scored
    found, own_auc = judge(rewards.values(source, stored), is_control=False)
    under: dict[str, Measures] = {}
    compared = {"position": position[1]}
    for name, transform in controls:
        under[name], compared[name] = judge(rewards.values(source, stored, [(name, transform)]))
    return Judged(
        label=entry.label,
        key=rewards.key(source, stored_key),
        described=source.describe(),
        measures=found,
        controls=under,
        gains={
            name: estimate(_difference(own_auc, other), judge.weights)
            for name, other in compared.items()
        },
        rounding=rewards.scorer.rounding(source),
    )


def _difference(a: Statistic, b: Statistic) -> Statistic:
    return lambda weights: a(weights) - b(weights)


def _source(entry: RewardEntry, plugins: PluginManager) -> RewardSource:
    transforms = [(item["name"], make_transform(plugins, item)) for item in entry.transforms]
    return find_source(plugins, entry.plugin, entry.args, transforms=transforms)


def _model(request: BenchRequest, plugins: PluginManager) -> str:
    if bundled := registered_model(request.model or request.source.path, plugins):
        return bundled
    if request.model is None:
        raise RecipeError(
            "A policy is needed, whose tokens are judged (give --model): the data set brings no "
            "model of its own."
        )
    return str(resolve_model_path(request.model))


def _scorer(
    request: BenchRequest, model: str, tokenizer: Any, sources: Sequence[RewardSource]
) -> Scorer:
    precision = Precision(dtype=getattr(torch, request.dtype))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reference = given_reference(request.reference or model, tokenizer, precision=precision)
    settings = ScoringSettings(default_store_path(), device, precision)
    return Scorer(reference, sources, tokenizer, settings)


def _require_marks(marks: MarkedTokens, request: BenchRequest) -> None:
    if not (marks.token_labels == ERROR).any():
        cut = marks.counts["first_errors_cut"]
        behind = f" ({cut} lie behind max_length {request.max_length})" if cut else ""
        raise DataError(
            f"{request.source.path}: no marked error in {len(marks.lengths)} responses{behind}: "
            "nothing could be found. Use rows with errors, or raise --max-length."
        )


def _controls(request: BenchRequest, rows: Sequence[MarkedRow]) -> Sequence[str]:
    """Return the transforms behind every reward: without order, without tokens, without sides.

    ``class-mean`` says something only where both sides of pairs are marked.
    """
    if request.controls is not None:
        return request.controls
    both = all(row.is_pair and not any(r.is_assumed for r in row.responses) for row in rows)
    return ("permute", "sequence-mean", *(["class-mean"] if both else []))


def _under(names: Sequence[str], plugins: PluginManager) -> Controls:
    return [(name, make_transform(plugins, {"name": name})) for name in names]
