"""Scores of models on a data set: answers or pairs, judged, with standard errors."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.evaluation.endings import Unfinished, endings, random_or_all
from tgdpo_core.evaluation.likelihood import pair_likelihoods
from tgdpo_core.evaluation.verdict_checks import checked_verdicts, question
from tgdpo_core.evaluation.verdicts import ModelAnswer, PromptVerdict
from tgdpo_core.generation.answers import Answer, AnsweredPrompt
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.judges import (
    Generation,
    Judge,
    PairLikelihood,
    Unjudged,
    Verdict,
)
from tgdpo_core.scoring.guard import call_on_batch

_Array = np.ndarray[Any, Any]

AskAnswers = Callable[[Sequence[Generation]], Sequence[Verdict]]
"""Returns what a judge says of each answer."""


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
            ``kl`` (nats), ``unjudged``: answers that the judge has no score for, by reason.
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
    ask: AskAnswers,
    *,
    unfinished: Unfinished = "score",
    kl: Sequence[Sequence[float]] | None = None,
) -> Evaluation:
    """Return the evaluation of one model by its answers.

    Args:
        name: how tables call it.
        answered: prompts with its answers; their columns go to the judge.
        ask: a judge that keeps what it says (``AskedJudge.verdicts``), or ``asked_anew``.
        unfinished: what an answer scores that was cut at the most tokens.
        kl: to a reference, of every random answer to each prompt, nats; None: not measured.

    Raises:
        PluginError: the judge failed, or returned something else than one number per answer.
    """
    found = judged(ask, answered, unfinished)
    ends = endings(each for item in answered for each in random_or_all(item.answers))
    facts: dict[str, Any] = {**asdict(ends), "unfinished": unfinished}
    if kl is not None:
        facts["kl"] = asdict(_score(np.array([np.mean(each) for each in kl])))
    outputs = [asdict(item) for item in answered]
    facts["unjudged"] = dict(sorted(found.unjudged.items()))
    scores = {kind: _score(each) for kind, each in found.scores.items()}
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
    likelihoods = pair_likelihoods(model, pairs, precision, label=f"{name}: log-probs")
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


@dataclass(frozen=True)
class Judged:
    """What a judge says of answers.

    Attributes:
        scores: of the ``greedy`` and of the ``sampled`` answers, [P] each; NaN: no answer of the
            prompt has one. Of these two kinds those are there that the prompts have answers of.
        unjudged: answers that it has no score for, by reason.
    """

    scores: Mapping[str, _Array]
    unjudged: Mapping[str, int]


def asked_anew(judge: tuple[str, Judge]) -> AskAnswers:
    """Return the question to a judge that is set up, with its name; nothing is kept."""
    return lambda batch: _ask(judge, batch)


def judged(
    ask: AskAnswers,
    answered: Sequence[AnsweredPrompt],
    unfinished: Unfinished = "score",
) -> Judged:
    """Return the scores of answers; random answers to a prompt are averaged.

    Raises:
        PluginError: the judge failed, or returned neither a number nor ``Unjudged`` for an answer.
    """
    kinds = [("sampled" if a.seed is not None else "greedy") for a in _first(answered).answers]
    found: dict[str, list[_Array]] = {}
    unjudged: Counter[str] = Counter()
    for place, kind in enumerate(kinds):
        batch = [(item, item.answers[place]) for item in answered]
        values, reasons = _scores(ask, batch, unfinished)
        found.setdefault(kind, []).append(values)
        unjudged.update(reasons)
    return Judged({kind: _mean(draws) for kind, draws in found.items()}, unjudged)


def _first(answered: Sequence[AnsweredPrompt]) -> AnsweredPrompt:
    return answered[0] if answered else AnsweredPrompt("", ())


def _scores(
    ask: AskAnswers,
    batch: Sequence[tuple[AnsweredPrompt, Answer]],
    unfinished: Unfinished,
) -> tuple[_Array, list[str]]:
    """Return the score of one answer to each prompt, NaN: left out; and why some have none."""
    values = np.full(len(batch), 0.0 if unfinished == "zero" else np.nan)
    asked = [i for i, (_, a) in enumerate(batch) if a.finished or unfinished == "score"]
    if not asked:
        return values, []
    said = ask([generation(*batch[i]) for i in asked])
    values[asked] = _numbers(said)
    return values, [each.reason for each in said if isinstance(each, Unjudged)]


def _mean(draws: Iterable[_Array]) -> _Array:
    """Return the mean of each prompt's scores that are there."""
    stacked = np.stack(list(draws))
    there = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(there, stacked, 0.0).sum(0) / there.sum(0)


def generation(item: AnsweredPrompt | PromptVerdict, answer: Answer | ModelAnswer) -> Generation:
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
    return _numbers(_ask(judge, likelihoods))


def write_evaluation(folder: Path, evaluation: Evaluation, settings: Mapping[str, Any]) -> None:
    """Write ``summary.json`` and ``outputs.jsonl`` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {**evaluation.summary(), **settings}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    with (folder / "outputs.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(output) + "\n" for output in evaluation.outputs)


def _ask(judge: tuple[str, Judge], batch: Sequence[Generation | PairLikelihood]) -> list[Verdict]:
    who, reads = f"judge '{judge[0]}'", judge[1].reads
    copies = copy.deepcopy(list(batch))  # what is written afterwards is what was judged
    said = call_on_batch(who, f"{len(batch)} {reads}", question(judge[1]), copies)
    return checked_verdicts(who, said, batch, reads)


def _numbers(verdicts: Sequence[Verdict]) -> _Array:
    """Return [n] float64; NaN: unjudged."""
    return np.array([np.nan if isinstance(each, Unjudged) else each for each in verdicts])


def _score(values: _Array) -> Score:
    there = values[~np.isnan(values)]
    if not len(there):
        return Score(float("nan"), float("nan"), len(values))
    error = there.std(ddof=1) / len(there) ** 0.5 if len(there) > 1 else float("nan")
    return Score(float(there.mean()), float(error), len(values) - len(there))
