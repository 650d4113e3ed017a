"""Scores of models on a data set: answers or pairs, judged, with standard errors."""

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.endings import Unfinished, endings, random_or_all
from tgdpo_core.evaluation.likelihood import pair_likelihoods
from tgdpo_core.generation.answers import Answer, AnsweredPrompt
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.judges import Comparison, Generation, Judge, PairLikelihood
from tgdpo_core.scoring.guard import call_on_batch

_Array = np.ndarray[Any, Any]
_NUM_TEXT = 40  # characters of a prompt in messages


@dataclass(frozen=True)
class Score:
    """A mean over prompts or pairs with its standard error.

    Attributes:
        mean: over those that have a score.
        standard_error: of it.
        num_left_out: prompts without a score.
    """

    mean: float
    standard_error: float
    num_left_out: int = 0


@dataclass(frozen=True)
class Evaluation:
    """How one model did.

    Attributes:
        model: its name.
        unit: what was judged: the answers to prompts, or pairs.
        scores: of answers ``greedy`` and ``sampled`` (mean over samples, then over prompts), those
            of them that were asked for; of pairs ``score``.
        outputs: what belongs to each prompt or pair, as JSON: the answers, or the score and the
            log-probs of both responses (nats).
        facts: further JSON: how the answers ended (``finished``: share; ``tokens``: mean length),
            ``kl`` (nats).
    """

    model: str
    unit: Literal["prompts", "pairs"]
    scores: Mapping[str, Score]
    outputs: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return JSON without the outputs."""
        return {
            "model": self.model,
            f"num_{self.unit}": len(self.outputs),
            **{name: asdict(score) for name, score in self.scores.items()},
            **self.facts,
        }


def evaluate(
    name: str,
    answered: Sequence[AnsweredPrompt],
    judge: tuple[str, Judge],
    *,
    unfinished: Unfinished = "score",
    kl: Sequence[Sequence[float]] | None = None,
) -> Evaluation:
    """Return the evaluation of one model by its answers.

    Args:
        name: how tables call it.
        answered: prompts with its answers; their columns go to the judge.
        judge: a judge that is set up, with its name.
        unfinished: what an answer scores that was cut at the most tokens.
        kl: to a reference, of every random answer to each prompt, nats; None: not measured.

    Raises:
        PluginError: the judge failed, or returned something else than one number per answer.
    """
    values = judged(judge, answered, unfinished)
    ends = endings(each for item in answered for each in random_or_all(item.answers))
    facts: dict[str, Any] = {**asdict(ends), "unfinished": unfinished}
    if kl is not None:
        facts["kl"] = asdict(_score(np.array([np.mean(each) for each in kl])))
    outputs = [asdict(item) for item in answered]
    scores = {kind: _score(each) for kind, each in values.items()}
    return Evaluation(name, "prompts", scores, outputs, facts)


def evaluate_pairs(
    name: str,
    model: Any,
    pairs: Sequence[TokenizedPair],
    judge: tuple[str, Judge],
    *,
    precision: Precision,
) -> Evaluation:
    """Return the evaluation of one model by the likelihoods of pairs; nothing is generated.

    Args:
        name: how tables call it.
        model: a causal language model on its device.
        pairs: in the ids of its tokenizer.
        judge: a judge of pairs that is set up, with its name.
        precision: mixed precision or none.

    Raises:
        PluginError: the judge failed, or returned something else than one number per pair.
    """
    likelihoods = pair_likelihoods(model, pairs, precision, label=name)
    scores = judged_pairs(judge, likelihoods)
    outputs = [
        {
            "prompt": item.prompt,
            "score": float(score),
            "logps": {"chosen": sum(item.chosen_logps), "rejected": sum(item.rejected_logps)},
        }
        for item, score in zip(likelihoods, scores, strict=True)
    ]
    return Evaluation(name, "pairs", {"score": _score(scores)}, outputs)


def judged(
    judge: tuple[str, Judge],
    answered: Sequence[AnsweredPrompt],
    unfinished: Unfinished = "score",
) -> dict[str, _Array]:
    """Return the scores of the ``greedy`` and of the ``sampled`` answers, one per prompt each.

    Random answers to a prompt are averaged. A prompt without an answer that has a score is NaN. Of
    these two kinds those are there that the prompts have answers of.

    Raises:
        PluginError: the judge failed, or returned something else than one number per answer.
    """
    kinds = [("sampled" if a.seed is not None else "greedy") for a in _first(answered).answers]
    found: dict[str, list[_Array]] = {}
    for place, kind in enumerate(kinds):
        batch = [(item, item.answers[place]) for item in answered]
        found.setdefault(kind, []).append(_scores(judge, batch, unfinished))
    return {kind: _mean(draws) for kind, draws in found.items()}


def _first(answered: Sequence[AnsweredPrompt]) -> AnsweredPrompt:
    return answered[0] if answered else AnsweredPrompt("", ())


def _scores(
    judge: tuple[str, Judge],
    batch: Sequence[tuple[AnsweredPrompt, Answer]],
    unfinished: Unfinished,
) -> _Array:
    """Return the score of one answer to each prompt; NaN: left out."""
    values = np.full(len(batch), 0.0 if unfinished == "zero" else np.nan)
    asked = [i for i, (_, a) in enumerate(batch) if a.finished or unfinished == "score"]
    if asked:
        values[asked] = _ask(judge, judge[1].score, [generation(*batch[i]) for i in asked])
    return values


def _mean(draws: Iterable[_Array]) -> _Array:
    """Return the mean of each prompt's scores that are there."""
    stacked = np.stack(list(draws))
    there = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(there, stacked, 0.0).sum(0) / there.sum(0)


def generation(item: AnsweredPrompt, answer: Answer) -> Generation:
    """Return an answer to a prompt as judges see it; it is theirs to change."""
    return Generation(
        copy.deepcopy(item.prompt),
        answer.text,
        copy.deepcopy(dict(item.columns)),
        answer.finished,
        answer.num_tokens,
    )


def judged_pairs(judge: tuple[str, Judge], likelihoods: Sequence[PairLikelihood]) -> _Array:
    """Return the score of each pair.

    Raises:
        PluginError: the judge failed, or returned something else than one number per pair.
    """
    return _ask(judge, judge[1].score_pairs, likelihoods)


def checked_scores(
    who: str, scores: Any, batch: Sequence[Generation | PairLikelihood | Comparison]
) -> _Array:
    """Return what a judge said of a batch, [len(batch)] float64.

    Args:
        who: how messages name the judge.
        scores: what it returned.
        batch: what it was asked about.

    Raises:
        PluginError: that is not one finite number each.
    """
    expected = f"{who} must return {len(batch)} finite numbers, got"
    try:
        values = np.asarray(scores, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PluginError(f"{expected} {type(scores).__name__}: {error}") from error
    if values.shape != (len(batch),):
        raise PluginError(f"{expected} shape {values.shape}.")
    for item, value in zip(batch, values, strict=True):
        if not np.isfinite(value):
            raise PluginError(f"{expected} {value} for the prompt {str(item.prompt)[:_NUM_TEXT]!r}")
    return values


def write_evaluation(folder: Path, evaluation: Evaluation, settings: Mapping[str, Any]) -> None:
    """Write ``summary.json`` and ``outputs.jsonl`` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {**evaluation.summary(), **settings}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    with (folder / "outputs.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(output) + "\n" for output in evaluation.outputs)


def _ask(
    judge: tuple[str, Judge],
    function: Callable[[Any], Any],
    batch: Sequence[Generation | PairLikelihood],
) -> _Array:
    who = f"judge '{judge[0]}'"
    copies = copy.deepcopy(list(batch))  # what is written afterwards is what was judged
    scores = call_on_batch(who, f"{len(batch)} {judge[1].reads}", function, copies)
    return checked_scores(who, scores, batch)


def _score(values: _Array) -> Score:
    there = values[~np.isnan(values)]
    if not len(there):
        return Score(float("nan"), float("nan"), len(values))
    error = there.std(ddof=1) / len(there) ** 0.5 if len(there) > 1 else float("nan")
    return Score(float(there.mean()), float(error), len(values) - len(there))
