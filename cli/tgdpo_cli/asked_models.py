"""One model of ``tgdpo evaluate``: what it is asked, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_cli.generation_options import Generating
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo

if TYPE_CHECKING:
    from tgdpo_core.evaluation.endings import Unfinished
    from tgdpo_core.evaluation.judging import Evaluation
    from tgdpo_core.evaluation.opinions import AskedJudge
    from tgdpo_core.models.precision import Precision


@dataclass(frozen=True)
class Asked:
    """What every model is asked.

    Attributes:
        judge: a judge that is set up.
        drawing: how answers are drawn.
        max_length: of pairs, tokens.
        unfinished: what cut answers score.
        reference: path of a model for the KL, or None.
    """

    judge: "AskedJudge"
    drawing: Generating
    max_length: int
    unfinished: "Unfinished"
    reference: str | None

    @property
    def precision(self) -> "Precision":
        """The number formats of all models."""
        return self.drawing.engine.precision

    @property
    def chosen_by(self) -> str:
        """Which score the best of a group is chosen by."""
        if self.judge.named.reads == "pairs":
            return "score"
        return "sampled" if self.drawing.sampling.samples else "greedy"

    def document(self) -> dict[str, Any]:
        """Return JSON that says how models are judged."""
        if self.judge.named.reads == "pairs":
            return {"max_length": self.max_length, "precision": self.precision.document()}
        told = {"unfinished": self.unfinished, "reference": self.reference}
        return {**self.drawing.document, **told}


def model_path(model: str, session: Session) -> str:
    """Return where a model is: the one that comes with a registered data set, or as it is named."""
    from tgdpo_core.preparation.plan import registered_model

    return registered_model(model, session.plugins) or model


def evaluated(
    path: str,
    name: str,
    pairs: Sequence[Any],
    asked: Asked,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one row: scores, and what the run folder says about its training.

    With ``settings`` what was judged is kept in the run folder.
    """
    from tgdpo_core.evaluation.judging import write_evaluation
    from tgdpo_core.training.run_folder import RunFolder

    of_pairs = asked.judge.named.reads == "pairs"
    result = (_evaluate_pairs if of_pairs else _evaluate_answers)(path, name, pairs, asked)
    folder = RunFolder(path)
    record = folder.read()
    if record and settings is not None:
        write_evaluation(folder.path / "evaluation" / asked.judge.named.name, result, settings)
    metrics = record.get("metrics", {})
    return {**result.summary(), "folder": str(path) if record else None, "metrics": metrics}


def _evaluate_answers(path: str, name: str, rows: Sequence[Any], asked: Asked) -> "Evaluation":
    """Return the evaluation of a model by its answers, and their KL to the reference."""
    from tgdpo_core.evaluation.judging import evaluate
    from tgdpo_core.generation.engines import open_engine

    engine = open_engine(path, asked.drawing.engine)
    answers = asked.drawing.answers(engine, rows, name)
    kl = None
    if asked.reference:
        from tgdpo_core.preparation.divergence import kl_of_answers

        kl = kl_of_answers(engine, answers, asked.reference, trust=asked.drawing.engine.trust)
    ask = asked.judge.verdicts
    return evaluate(name, answers.answered, ask, unfinished=asked.unfinished, kl=kl)


def _evaluate_pairs(path: str, name: str, pairs: Sequence[Any], asked: Asked) -> "Evaluation":
    """Return the evaluation of a model by pairs, tokenized as in training; say what was cut."""
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.data.token_table import ListedTokens
    from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
    from tgdpo_core.evaluation.judging import evaluate_pairs
    from tgdpo_core.generation.engines import open_in_process
    from tgdpo_core.scoring.fits import require_positions

    loaded = open_in_process(path, asked.drawing.engine)
    report = DataReport(name, num_rows=len(pairs))
    tokenized = tokenize_pairs(pairs, loaded.tokenizer, LengthLimits(asked.max_length), report)
    report.raise_if_unusable("error", skip=None)  # all models are judged on the same rows
    require_positions(loaded.model, ListedTokens(tokenized))
    for what, count in sorted(report.counts.items()):
        echo(f"{name}: {count} of {len(pairs)} pairs: {what}", err=True)
    judge = asked.judge.named.name, asked.judge.judge
    return evaluate_pairs(name, loaded.model, tokenized, judge, precision=asked.precision)
