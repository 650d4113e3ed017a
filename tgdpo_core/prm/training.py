"""A dense reward model from marked steps: read, train, judge on held-out problems, write."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tgdpo_core.bench.ranking import auc
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.evaluation.intervals import estimate, resampled_clusters
from tgdpo_core.marks.reading import MarkedSource, read_marked_rows
from tgdpo_core.marks.responses import marks_fingerprint
from tgdpo_core.models.fingerprints import model_fingerprint
from tgdpo_core.models.loading import load_frozen, load_tokenizer
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.prm.classifier import GOOD, make_classifier, soft_cross_entropy
from tgdpo_core.prm.fitting import IGNORED, fit
from tgdpo_core.prm.folder import RECORD, filled, holds_model
from tgdpo_core.prm.inputs import StepInput, as_tensors, batches, split_by_problem, step_inputs
from tgdpo_core.prm.labels import TARGETS, Target, num_right_and_wrong
from tgdpo_core.prm.record import read_record, write_record
from tgdpo_core.progress import stage

LABEL_NAMES = {0: "bad", GOOD: "good"}
_WARMUP_SHARE = 0.1
_NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class PrmSettings:
    """How a dense reward model is trained.

    Attributes:
        target: what steps count as that nobody judged (behind a marked first error).
        num_epochs: how often every response is seen.
        learning_rate: at its peak; warm-up over a tenth of the steps, cosine decay.
        batch_size: responses of one step.
        max_length: most tokens; steps that do not fit in whole are left out.
        held_out_share: of the problems, to judge on.
        mixed_precision: bfloat16 autocast; weights stay float32.
        seed: of head, held-out problems and order.
    """

    target: Target = "unknown"
    num_epochs: int = 3
    learning_rate: float = 3e-5
    batch_size: int = 8
    max_length: int = 1024
    held_out_share: float = 0.1
    mixed_precision: Literal["no", "bfloat16"] = "no"
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse settings outside their range.

        Raises:
            UsageError: which one.
        """
        if self.target not in TARGETS:
            raise UsageError(f"target must be one of {', '.join(TARGETS)}, got {self.target!r}.")
        if not 0 <= self.held_out_share < 1:
            raise UsageError(f"held_out_share must be in [0, 1), got {self.held_out_share}.")
        for name in ("num_epochs", "learning_rate", "batch_size", "max_length"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, got {getattr(self, name)}.")


Say = Callable[[str], None]


def train_prm(  # noqa: PLR0913 - rows, model, settings, place, and whom to tell
    source: MarkedSource,
    model: str,
    output: Path,
    settings: PrmSettings,
    plugins: PluginManager,
    *,
    say: Say,
    on_step: Callable[[int, int, float], None],
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a folder that ``dense-prm`` loads, and return what was measured of it.

    Args:
        source: rows with marked steps.
        model: a causal language model: folder, run folder or Hub id.
        output: the folder; one that holds this model already is left alone.
        settings: how it is trained.
        plugins: registered data sets.
        say: is told what was read and found.
        on_step: is called with steps done, steps in all and the loss.
        overwrite: replace the reward model that the folder holds.

    Raises:
        TgdpoError: rows, model or folder that cannot be used.
    """
    rows, report = read_marked_rows(source, plugins)
    options = {
        "model": model_fingerprint(model),
        "marks": marks_fingerprint(rows),
        "separator": source.separator,
        **asdict(settings),
    }
    if holds_model(output, options, overwrite=overwrite):
        say(f"{output} holds this reward model already.")
        found: dict[str, Any] = read_record(output / RECORD)["measured"]
        return found
    tokenizer = load_tokenizer(model)
    inputs, counts = step_inputs(
        rows, tokenizer, target=settings.target, max_length=settings.max_length
    )
    _require_separable(rows, source.separator)
    training, held_out = split_by_problem(inputs, settings.held_out_share, seed=settings.seed)
    facts = _facts(training, held_out, counts + report.counts, len(rows), len(report.problems))
    for line in _told(facts, report.problems):
        say(line)
    base_model = load_frozen(model, precision=Precision()).requires_grad_(True)
    classifier = make_classifier(base_model, LABEL_NAMES, seed=settings.seed)
    del base_model
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier.to(device)
    _fit(classifier, training, tokenizer.pad_token_id, settings, on_step)
    measured = _measured(classifier, held_out, tokenizer.pad_token_id, settings)
    _write(output, classifier, tokenizer, options, {**facts, **measured})
    return {**facts, **measured}


def _require_separable(rows: Sequence[Any], separator: str) -> None:
    """Refuse steps that ``dense-prm`` would split further: they would be read otherwise."""
    for row in rows:
        for response in row.responses:
            for step in response.step_texts():
                if separator in step:
                    raise DataError(
                        f"{row.where}: the step {step[:40]!r} holds the separator {separator!r}, "
                        "so the reward would split it. Give another --step-separator, such as "
                        "$'\\n\\n'; use the same as the reward's step_separator."
                    )


def _facts(
    training: Sequence[StepInput],
    held_out: Sequence[StepInput],
    counts: Any,
    num_rows: int,
    num_left_out: int,
) -> dict[str, Any]:
    right, wrong = num_right_and_wrong([each.labels for each in training])
    if not right or not wrong:
        raise DataError(
            f"{len(training)} responses to train on have {right} right and {wrong} wrong steps: "
            "both kinds are needed. Use more rows, or a larger --max-length."
        )
    return {
        "rows": num_rows,
        "rows_left_out": num_left_out,
        "counts": {name: count for name, count in sorted(counts.items()) if count},
        "responses": len(training),
        "held_out_responses": len(held_out),
        "right_steps": right,
        "wrong_steps": wrong,
        "tokens": sum(len(each.ids) for each in training),
    }


def _told(facts: dict[str, Any], problems: Sequence[str]) -> list[str]:
    lines = [
        f"{facts['rows']} rows: {facts['responses']} responses to train on "
        f"({facts['right_steps']} right and {facts['wrong_steps']} wrong steps, "
        f"{facts['tokens']} tokens), {facts['held_out_responses']} held out"
    ]
    lines += [f"  {name}: {count}" for name, count in facts["counts"].items()]
    return lines + [f"  left out: {problem}" for problem in problems[:10]]


def _fit(
    model: Any,
    training: Sequence[StepInput],
    pad_id: int,
    settings: PrmSettings,
    on_step: Callable[[int, int, float], None],
) -> None:
    num_steps = settings.num_epochs * -(-len(training) // settings.batch_size)
    done = 0

    def loss_of(ids_ST: torch.Tensor, labels_ST: torch.Tensor) -> torch.Tensor:
        with _precision(model, settings):
            logits_STL = model(input_ids=ids_ST.to(model.device)).logits
        return soft_cross_entropy(logits_STL.float(), labels_ST.to(model.device))

    def after_step(loss: float) -> None:
        nonlocal done
        done += 1
        on_step(done, num_steps, loss)

    some = batches(
        training,
        batch_size=settings.batch_size,
        num_epochs=settings.num_epochs,
        seed=settings.seed,
    )
    fit(
        model,
        (as_tensors(batch, pad_id) for batch in some if _has_label(batch)),
        loss_of=loss_of,
        num_steps=num_steps,
        learning_rate=settings.learning_rate,
        on_step=after_step,
        num_warmup_steps=round(_WARMUP_SHARE * num_steps),
    )


def _has_label(batch: Sequence[StepInput]) -> bool:
    return any(label != IGNORED for each in batch for label in each.labels)


def _precision(model: Any, settings: PrmSettings) -> contextlib.AbstractContextManager[Any]:
    if settings.mixed_precision == "no":
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=torch.bfloat16)


def _measured(
    model: Any, held_out: Sequence[StepInput], pad_id: int, settings: PrmSettings
) -> dict[str, Any]:
    """Return the step AUC on held-out problems: the chance that a wrong step has the lower p."""
    good, wrong, problems = [], [], []
    numbers: dict[str, int] = {}
    for each, good_T in _good_probabilities(model, held_out, pad_id, settings):
        number = numbers.setdefault(each.problem, len(numbers))
        for position, label in zip(each.positions, each.labels, strict=True):
            if label != IGNORED:
                good.append(float(good_T[position]))
                wrong.append(label == 0)
                problems.append(number)
    if not any(wrong) or all(wrong):
        return {"held_out_step_auc": None}
    statistic = auc(np.array(good), np.array(wrong), np.array(problems))
    weights = resampled_clusters(np.arange(len(numbers)), _NUM_RESAMPLES, seed=settings.seed)
    return {"held_out_step_auc": estimate(statistic, weights).as_dict()}


def _good_probabilities(
    model: Any, inputs: Sequence[StepInput], pad_id: int, settings: PrmSettings
) -> Iterator[tuple[StepInput, torch.Tensor]]:
    """Yield each input with [T] float32: the chance that its steps are right, at every token."""
    with stage("held-out problems", len(inputs), "response") as bar:
        for start in range(0, len(inputs), settings.batch_size):
            batch = inputs[start : start + settings.batch_size]
            ids_ST, _ = as_tensors(batch, pad_id)
            with torch.no_grad(), _precision(model, settings):
                logits_STL = model(input_ids=ids_ST.to(model.device)).logits
            yield from zip(batch, logits_STL.float().softmax(-1)[..., GOOD].cpu(), strict=True)
            bar.update(len(batch))


def _write(
    output: Path, model: Any, tokenizer: Any, options: dict[str, Any], facts: dict[str, Any]
) -> None:
    with filled(output) as staged:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        write_record(staged / RECORD, options, measured=facts)
