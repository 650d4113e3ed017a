"""Scores of models on a data set: answers, judged, with standard errors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import PluginError
from tgdpo_core.evaluation.generation import Answers, Sampling, answer
from tgdpo_core.plugin_api.judges import Generation, Judge


@dataclass(frozen=True)
class Score:
    """A mean over prompts with its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class Evaluation:
    """How one model did.

    Attributes:
        model: its name.
        num_prompts: prompts answered.
        greedy: score of the greedy answers.
        sampled: score of the random answers (mean over samples, then over prompts).
        answers: the texts.
    """

    model: str
    num_prompts: int
    greedy: Score
    sampled: Score
    answers: Sequence[Answers]

    def summary(self) -> dict[str, Any]:
        """Return JSON without the texts."""
        return {
            "model": self.model,
            "num_prompts": self.num_prompts,
            "greedy": asdict(self.greedy),
            "sampled": asdict(self.sampled),
        }


def evaluate(
    name: str,
    load: Callable[[], tuple[Any, Any]],
    pairs: Sequence[PreferencePair],
    judge: tuple[str, Judge],
    sampling: Sampling,
) -> Evaluation:
    """Return the evaluation of one model.

    Args:
        name: how tables call it.
        load: returns model and tokenizer.
        pairs: whose prompts are answered; their columns go to the judge.
        judge: a judge that is set up, with its name.
        sampling: how answers are drawn.

    Raises:
        PluginError: the judge failed, or returned the wrong number of scores.
    """
    model, tokenizer = load()
    answers = answer(model, tokenizer, pairs, sampling, label=name)
    greedy, sampled = judged(judge, pairs, answers)
    return Evaluation(name, len(pairs), _score(greedy), _score(sampled), answers)


def judged(
    judge: tuple[str, Judge], pairs: Sequence[PreferencePair], answers: Sequence[Answers]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the scores of the greedy and of the random answers, one per prompt each.

    Random answers to a prompt are averaged; without any, their scores are NaN.

    Raises:
        PluginError: the judge failed, or returned the wrong number of scores.
    """
    greedy = _judged(judge, pairs, [a.greedy for a in answers])
    num_samples = len(answers[0].sampled) if answers else 0
    draws = [_judged(judge, pairs, [a.sampled[i] for a in answers]) for i in range(num_samples)]
    return greedy, np.mean(draws, axis=0) if draws else np.full(len(pairs), np.nan)


def write_evaluation(
    folder: Path, evaluation: Evaluation, pairs: Sequence[PreferencePair], settings: dict[str, Any]
) -> None:
    """Write ``summary.json`` and ``outputs.jsonl`` to a run's ``evaluation`` folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {**evaluation.summary(), **settings}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    with (folder / "outputs.jsonl").open("w", encoding="utf-8") as file:
        for pair, answers in zip(pairs, evaluation.answers, strict=True):
            file.write(json.dumps({"prompt": pair.prompt, **asdict(answers)}) + "\n")


def _judged(
    judge: tuple[str, Judge], pairs: Sequence[PreferencePair], texts: Sequence[str]
) -> np.ndarray[Any, Any]:
    name, instance = judge
    batch = [Generation(p.prompt, text, p.columns) for p, text in zip(pairs, texts, strict=True)]
    try:
        scores = np.asarray(instance.score(batch), dtype=float)
    except Exception as error:
        raise PluginError(f"judge '{name}' failed: {type(error).__name__}: {error}") from error
    if scores.shape != (len(batch),) or not np.isfinite(scores).all():
        raise PluginError(
            f"judge '{name}' must return {len(batch)} finite numbers, got shape {scores.shape}."
        )
    return scores


def _score(values: np.ndarray[Any, Any]) -> Score:
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return Score(float(values.mean()), float(error))
