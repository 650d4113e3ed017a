"""What a verdict of ``tgdpo evaluate`` is asked for, made from the command's parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tgdpo_cli.asked_models import model_path
from tgdpo_cli.chosen_judges import ChosenJudge
from tgdpo_cli.evaluation_rows import rows_of
from tgdpo_cli.generation_options import NAMES, generation
from tgdpo_cli.main import Session
from tgdpo_cli.option_sets import refuse_given, trust_of
from tgdpo_cli.verdict_options import (
    answers_file,
    chosen_baseline,
    names_of_models,
    read_gamed,
    require_own_folder,
)
from tgdpo_cli.verdict_run import VerdictRequest

_OF_COMPARISONS = ("compare", "tie_rule", "gamed")
_OF_ROWS = ("split", "columns", "row_format", "template_kwargs", "special_tokens", "on_bad_row")


def verdict_request(
    session: Session, values: Mapping[str, Any], judges: Sequence[ChosenJudge]
) -> VerdictRequest:
    """Return what is asked for.

    Raises:
        UsageError: of click: options that contradict each other, or would have no effect.
        DataError: rows or files that cannot be read.
    """
    from tgdpo_core.evaluation.verdict_making import Rules

    models: Sequence[str] = values["models"]
    _refuse_what_has_no_effect(values, judges)
    names = names_of_models(models)
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise click.UsageError(f"{repeated} is named twice: name each model once.")
    require_own_folder(values["output_dir"])
    baseline = chosen_baseline(values["baseline"], models, names)
    trust = trust_of(values)
    drawn = [model_path(model, session) for model in models if not answers_file(model)]
    drawing = generation(values, drawn, trust)
    if drawn and drawing.sampling.greedy and drawing.sampling.samples:
        raise click.UsageError(
            "--greedy: a verdict is about one way of drawing. Add --samples 0, or leave it out."
        )
    prompts, rows, notes = _prompts(session, values)
    reference = values["reference"]
    return VerdictRequest(
        models=dict(zip(names, models, strict=True)),
        judges=judges,
        prompts=prompts,
        drawing=drawing,
        reference=reference and model_path(reference, session),
        rules=Rules(baseline, values["compare"], values["unfinished"], values["tie_rule"]),
        gamed=values["gamed"] and read_gamed(values["gamed"]),
        output=values["output_dir"],
        settings={
            **rows,
            **(drawing.document if drawn else {}),
            "unfinished": values["unfinished"],
            "compare": values["compare"],
            "tie_rule": values["tie_rule"],
            "reference": reference,
            "gamed": values["gamed"] and str(values["gamed"]),
        },
        notes=notes,
    )


def _prompts(session: Session, values: Mapping[str, Any]) -> tuple[Any, dict[str, Any], list[str]]:
    """Return the rows that are answered, None if there are none; JSON that says which; notes."""
    from tgdpo_core.data.sources import default_split

    dataset = values["prompts"] or values["dataset"]
    if dataset is None:
        refuse_given(_OF_ROWS, "says how --prompts are read, and there are none.")
        return None, {"prompts": None}, []
    source = rows_of(session, values, dataset).of_prompts()
    split = values["split"] or default_split(dataset, session.plugins, "test")
    rows, report = source.read_with_report(split, values["limit"], values["on_bad_row"])
    said = {"prompts": dataset, "split": split, **source.settings}
    said |= {"on_bad_row": values["on_bad_row"], "left_out": len(report.problems)}
    notes = []
    if report.problems:
        notes.append(f"{dataset}: {len(report.problems)} of {report.num_rows} rows left out.")
    return rows, {**said, "limit": values["limit"]}, notes


def _refuse_what_has_no_effect(values: Mapping[str, Any], judges: Sequence[ChosenJudge]) -> None:
    for judge in judges:
        if judge.instance.reads == "pairs":
            raise click.UsageError(
                f"judge '{judge.name}' reads pairs and says nothing of answers. Name it alone, "
                "with --dataset."
            )
    refuse_given(("patterns", "choose_split"), "is for --dataset, one model after the other.")
    refuse_given(("max_length",), "is for judges that read pairs.")
    if not any(judge.instance.reads == "comparisons" for judge in judges):
        refuse_given(_OF_COMPARISONS, "is for judges that compare two answers.")
    files = [model for model in values["models"] if answers_file(model)]
    if files and values["kl"]:
        raise click.UsageError(
            f"--kl: {files[0]} holds answers without token ids. Name the model itself."
        )
    if len(files) == len(values["models"]):
        refuse_given(
            (*NAMES, "dtype"), "is about drawing answers, and all models are files of answers."
        )
        if values["prompts"] is None and values["dataset"] is None:
            refuse_given(("limit",), "counts rows of --prompts.")
