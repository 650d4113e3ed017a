"""The measurements of one model: each set that is there, read, asked and scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from tgdpo_core.data.files import file_rows
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.dimensions.bias import BiasQuestion, bias_question, bias_scores
from tgdpo_core.dimensions.choice_logps import choice_logps
from tgdpo_core.dimensions.recipe import BiasSet, DimensionsRecipe, SafetySet, TruthfulSet
from tgdpo_core.dimensions.refusals import Safety, is_refusal, safety_of
from tgdpo_core.dimensions.truthfulness import TruthfulQuestion, mc1, mc2, truthful_question
from tgdpo_core.errors import UsageError
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.sampling import Sampling

_T = TypeVar("_T")
_RESAMPLES = 1000
Better = Literal["higher", "lower", "near 0"]


@dataclass(frozen=True)
class Measured:
    """One number of one set.

    Attributes:
        dimension: the set.
        metric: name of the number.
        value: of it.
        standard_error: over questions; of bias scores from 1,000 resamples of the questions.
        num: questions behind it.
        better: which way.
    """

    dimension: str
    metric: str
    value: float
    standard_error: float | None
    num: int
    better: Better


@dataclass(frozen=True)
class Sets:
    """Rows of the sets that are there; all of them are read before a model is loaded."""

    truthful: Sequence[TruthfulQuestion]
    safety: Sequence[tuple[str, Safety]]
    bias: Sequence[BiasQuestion]


@dataclass(frozen=True)
class Found:
    """What was measured of one model.

    Attributes:
        measured: the numbers.
        outputs: JSON of each question.
        notes: what did not count, in sentences.
    """

    measured: Sequence[Measured]
    outputs: Sequence[Mapping[str, Any]]
    notes: Sequence[str]


def read_sets(recipe: DimensionsRecipe, limit: int | None = None) -> Sets:
    """Return the rows of a recipe's files, the first ``limit`` of each set.

    Raises:
        DataError: a file cannot be read, or has rows of another form; they are named.
        UsageError: no set has a file.
    """
    if not any(each.files for each in (recipe.truthfulqa, recipe.xstest, recipe.bbq)):
        raise UsageError(
            "--dimensions: no set has a file. Name them in a copy (tgdpo recipes copy dimensions "
            "my.yaml), or by --data truthfulqa=FILE, xstest=FILE, bbq=FILE."
        )

    def rows(files: Sequence[Path], parse: Callable[[Mapping[str, Any]], _T]) -> list[_T]:
        return [row for file in files for row in _rows(file, parse)][:limit]

    return Sets(
        rows(recipe.truthfulqa.files, truthful_question),
        rows(recipe.xstest.files, _safety_row),
        rows(recipe.bbq.files, bias_question),
    )


def measure(
    engine: Any, sets: Sets, recipe: DimensionsRecipe, *, store: Path | None, label: str
) -> Found:
    """Return the numbers of one model.

    Args:
        engine: ``transformers``, with the model: choices are scored by its likelihoods.
        sets: rows.
        recipe: how rows are put.
        store: where answers are kept.
        label: of progress bars.
    """
    parts = []
    if sets.truthful:
        parts.append(_truthfulness(engine, sets.truthful, recipe.truthfulqa, label))
    if sets.safety:
        parts.append(_refusals(engine, sets.safety, recipe.xstest, (store, label)))
    if sets.bias:
        parts.append(_bias(engine, sets.bias, recipe.bbq, label))
    return Found(
        [each for part in parts for each in part.measured],
        [each for part in parts for each in part.outputs],
        [each for part in parts for each in part.notes],
    )


def _rows(path: Path, parse: Callable[[Mapping[str, Any]], _T]) -> list[_T]:
    if not path.is_file():
        raise UsageError(f"--dimensions: {path}: no such file.")
    report = DataReport(str(path))
    found = []
    for where, row in file_rows(path, path.name):
        report.num_rows += 1
        try:
            if isinstance(row, RowProblem):
                raise row
            found.append(parse(row))
        except RowProblem as problem:
            report.add_problem(where, problem)
    report.num_pairs = len(found)
    report.raise_if_unusable("error", skip=None)
    return found


def _safety_row(row: Mapping[str, Any]) -> tuple[str, Safety]:
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise RowProblem("prompt", f"'prompt' must be a text, found {prompt!r:.60}")
    return prompt, safety_of(row)


def _logps(engine: Any, asked: Sequence[tuple[str, str]], label: str) -> list[float]:
    with engine.precision.active(engine.model.device):
        return choice_logps(
            engine.model, engine.tokenizer, asked, batch_size=engine.together, label=label
        )


def _truthfulness(
    engine: Any, rows: Sequence[TruthfulQuestion], how: TruthfulSet, label: str
) -> Found:
    asked = [
        (how.prompt.format(question=row.question), f" {text}")
        for row in rows
        for choices in (row.one, row.many)
        for text in choices.texts
    ]
    logps = iter(_logps(engine, asked, f"{label}, truthfulqa"))
    scored = [
        (
            mc1([next(logps) for _ in row.one.texts], row.one.labels),
            mc2([next(logps) for _ in row.many.texts], row.many.labels),
        )
        for row in rows
    ]
    ones, many = zip(*scored, strict=True)
    outputs = [
        {"set": "truthfulqa", "question": row.question, "mc1": first, "mc2": second}
        for row, (first, second) in zip(rows, scored, strict=True)
    ]
    measured = [
        _mean("truthfulqa", "mc1", ones, "higher"),
        _mean("truthfulqa", "mc2", many, "higher"),
    ]
    return Found(measured, outputs, [])


def _refusals(
    engine: Any,
    rows: Sequence[tuple[str, Safety]],
    how: SafetySet,
    kept: tuple[Path | None, str],
) -> Found:
    sampling = Sampling(
        samples=0, greedy=True, max_new_tokens=how.max_new_tokens, system=how.system, form="chat"
    )
    prompts = [
        PreferencePair(text, "", "", f"xstest row {i}") for i, (text, _) in enumerate(rows, 1)
    ]
    store, label = kept
    found = generate(engine, prompts, sampling, store=store, label=f"{label}, xstest")
    answers = [each.answers[0] for each in found.answered]
    told = [
        (safety, is_refusal(answer.text))
        for (_, safety), answer in zip(rows, answers, strict=True)
        if answer.text.strip()
    ]
    num_empty = len(rows) - len(told)
    kinds: list[tuple[Safety, Better]] = [("safe", "lower"), ("unsafe", "higher")]
    measured = [
        _mean("xstest", f"refused {kind}", [float(r) for s, r in told if s == kind], better)
        for kind, better in kinds
        if any(safety == kind for safety, _ in told)
    ]
    outputs = [
        {
            "set": "xstest",
            "prompt": text,
            "safety": safety,
            "answer": answer.text,
            "finished": answer.finished,
            "refused": is_refusal(answer.text) if answer.text.strip() else None,
        }
        for (text, safety), answer in zip(rows, answers, strict=True)
    ]
    notes = [f"xstest: {num_empty} empty answers are no refusals and no answers: left out."]
    return Found(measured, outputs, notes if num_empty else [])


def _bias(engine: Any, rows: Sequence[BiasQuestion], how: BiasSet, label: str) -> Found:
    asked = [
        (how.prompt.format(context=row.context, question=row.question), f" {answer}")
        for row in rows
        for answer in row.answers
    ]
    logps = np.array(_logps(engine, asked, f"{label}, bbq")).reshape(-1, 3)
    chosen = [int(each) for each in logps.argmax(-1)]
    categories = sorted({row.category for row in rows})
    groups = [("bbq", range(len(rows)))]
    if len(categories) > 1:
        groups += [
            (f"bbq {name}", [i for i, row in enumerate(rows) if row.category == name])  # type: ignore[misc]
            for name in categories
        ]
    measured = [
        each
        for name, places in groups
        for each in _bias_numbers(name, [rows[i] for i in places], [chosen[i] for i in places])
    ]
    outputs = [
        {
            "set": "bbq",
            "category": row.category,
            "ambiguous": row.is_ambiguous,
            "chosen": choice,
            "label": row.label,
            "biased": row.biased,
            "logps": list(map(float, values)),
        }
        for row, choice, values in zip(rows, chosen, logps, strict=True)
    ]
    num_untold = bias_scores(rows, chosen).num_untold
    note = f"bbq: of {num_untold} questions the rows do not tell the groups apart: no part in bias."
    return Found(measured, outputs, [note] if num_untold else [])


def _bias_numbers(name: str, rows: Sequence[BiasQuestion], chosen: Sequence[int]) -> list[Measured]:
    metrics: list[tuple[str, Better, bool]] = [
        ("accuracy_ambiguous", "higher", True),
        ("accuracy_disambiguated", "higher", False),
        ("bias_ambiguous", "near 0", True),
        ("bias_disambiguated", "near 0", False),
    ]
    generator = np.random.default_rng(0)
    whole = bias_scores(rows, chosen)
    drawn = generator.integers(len(rows), size=(_RESAMPLES, len(rows)))
    again = [bias_scores([rows[i] for i in each], [chosen[i] for i in each]) for each in drawn]
    found = []
    for metric, better, ambiguous in metrics:
        value = getattr(whole, metric)
        if value is None:
            continue
        values = [v for each in again if (v := getattr(each, metric)) is not None]
        num = sum(row.is_ambiguous == ambiguous for row in rows)
        error = float(np.std(values)) if len(values) > 1 else None
        found.append(Measured(name, metric.replace("_", " "), value, error, num, better))
    return found


def _mean(dimension: str, metric: str, values: Sequence[float], better: Better) -> Measured:
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / len(array) ** 0.5) if len(array) > 1 else None
    return Measured(dimension, metric, float(array.mean()), error, len(array), better)
