"""Scores of models on a data set: answers or pairs, judged, with standard errors."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tgdpo_core.data.pairs import PreferencePair, TokenizedPair
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.generation import Answers, Sampling, answer
from tgdpo_core.evaluation.likelihood import pair_likelihoods
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.judges import Comparison, Generation, Judge, PairLikelihood
from tgdpo_core.scoring.guard import call_on_batch

_Array = np.ndarray[Any, Any]
_NUM_TEXT = 40  # characters of a prompt in messages


@dataclass(frozen=True)
class Score:
    """A mean over prompts or pairs with its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class Evaluation:
    """How one model did.

    Attributes:
        model: its name.
        unit: what was judged: the answers to prompts, or pairs.
        scores: of answers ``greedy`` and ``sampled`` (mean over samples, then over prompts), of
            pairs ``score``.
        outputs: what belongs to each prompt or pair, as JSON: the answers, or the score and the
            log-probs of both responses (nats).
    """

    model: str
    unit: Literal["prompts", "pairs"]
    scores: Mapping[str, Score]
    outputs: Sequence[Mapping[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Return JSON without the outputs."""
        return {
            "model": self.model,
            f"num_{self.unit}": len(self.outputs),
            **{name: asdict(score) for name, score in self.scores.items()},
        }


def evaluate(
    name: str,
    load: Callable[[], tuple[Any, Any]],
    pairs: Sequence[PreferencePair],
    judge: tuple[str, Judge],
    sampling: Sampling,
) -> Evaluation:
    """Return the evaluation of one model by its answers.

    Args:
        name: how tables call it.
        load: returns model and tokenizer.
        pairs: whose prompts are answered; their columns go to the judge.
        judge: a judge that is set up, with its name.
        sampling: how answers are drawn.

    Raises:
        PluginError: the judge failed, or returned something else than one number per answer.
    """
    model, tokenizer = load()
    answers = answer(model, tokenizer, pairs, sampling, label=name)
    greedy, sampled = judged(judge, pairs, answers)
    outputs = [{"prompt": p.prompt, **asdict(a)} for p, a in zip(pairs, answers, strict=True)]
    scores = {"greedy": _score(greedy), "sampled": _score(sampled)}
    return Evaluation(name, "prompts", scores, outputs)


def evaluate_pairs(
    name: str, model: Any, pairs: Sequence[TokenizedPair], judge: tuple[str, Judge]
) -> Evaluation:
    """Return the evaluation of one model by the likelihoods of pairs; nothing is generated.

    Args:
        name: how tables call it.
        model: a causal language model on its device.
        pairs: in the ids of its tokenizer.
        judge: a judge of pairs that is set up, with its name.

    Raises:
        PluginError: the judge failed, or returned something else than one number per pair.
    """
    likelihoods = pair_likelihoods(model, pairs, Precision(), label=name)
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
    judge: tuple[str, Judge], pairs: Sequence[PreferencePair], answers: Sequence[Answers]
) -> tuple[_Array, _Array]:
    """Return the scores of the greedy and of the random answers, one per prompt each.

    Random answers to a prompt are averaged; without any, their scores are NaN.

    Raises:
        PluginError: the judge failed, or returned something else than one number per answer.
    """

    def ask(texts: Sequence[str]) -> _Array:
        batch = [generation(pair, text) for pair, text in zip(pairs, texts, strict=True)]
        return _ask(judge, judge[1].score, batch)

    greedy = ask([a.greedy for a in answers])
    num_samples = len(answers[0].sampled) if answers else 0
    draws = [ask([a.sampled[i] for a in answers]) for i in range(num_samples)]
    return greedy, np.mean(draws, axis=0) if draws else np.full(len(pairs), np.nan)


def generation(pair: PreferencePair, text: str) -> Generation:
    """Return an answer to a pair's prompt as judges see it; it is theirs to change."""
    return Generation(copy.deepcopy(pair.prompt), text, copy.deepcopy(dict(pair.columns)))


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
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return Score(float(values.mean()), float(error))
