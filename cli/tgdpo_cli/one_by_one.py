"""``tgdpo evaluate --dataset``: one model after the other, and which is the best of its group."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tgdpo_cli.asked_models import Asked, evaluated, model_path
from tgdpo_cli.chosen_judges import ChosenJudge, counted, set_up
from tgdpo_cli.evaluation_rows import rows_of
from tgdpo_cli.evaluation_table import show_evaluations
from tgdpo_cli.generation_options import NAMES, generation
from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.option_sets import refuse_given, trust_of
from tgdpo_cli.output import echo, print_json
from tgdpo_cli.verdict_options import NAMES as OF_VERDICTS

# Options of one sort of judge: the others would ignore them.
_OF_ANSWERS = (*NAMES, "unfinished", "kl", "reference")
_OF_PAIRS = ("max_length",)


def evaluate_one_by_one(session: Session, values: Mapping[str, Any], judge: ChosenJudge) -> None:
    """Judge models by a judge of answers or pairs, and print a row for each.

    Args:
        session: where plugins are found.
        values: of the command's parameters.
        judge: who judges.
    """
    from tgdpo_core.data.sources import default_split

    dataset, models, instance = values["dataset"], values["models"], judge.instance
    if dataset is None:
        raise click.UsageError("Give --prompts for a verdict on the models, or --dataset.")
    refuse_given(OF_VERDICTS, "belongs to a verdict: give --prompts in place of --dataset.")
    names = short_names(models)
    groups = _groups(names, values["patterns"], values["choose_split"])
    reads_pairs = instance.reads == "pairs"
    why = f"judge '{judge.name}' reads {instance.reads} and has no use for it."
    refuse_given(_OF_ANSWERS if reads_pairs else _OF_PAIRS, why)
    paths = [model_path(model, session) for model in models]
    reference = values["reference"]
    drawing = generation(values, paths, trust_of(values))
    source = rows_of(session, values, dataset)
    source = source if reads_pairs else source.of_prompts()
    split = values["split"] or default_split(dataset, session.plugins, "test")
    limit, on_bad_row, choose_split = values["limit"], values["on_bad_row"], values["choose_split"]
    pairs = source.read(split, limit, on_bad_row)
    others = source.read(choose_split, limit, on_bad_row) if choose_split else []
    settings = {
        "dataset": dataset,
        "split": split,
        "judge": judge.found.name,
        "judge_args": judge.arguments,
        **source.settings,
        "on_bad_row": on_bad_row,
    }
    with set_up([judge]) as (judging,):
        asked = Asked(
            judge=judging,
            drawing=drawing,
            max_length=values["max_length"],
            unfinished=values["unfinished"],
            reference=reference and model_path(reference, session),
        )
        settings |= asked.document()
        rows = [
            evaluated(path, name, pairs, asked, settings)
            for name, path in zip(names, paths, strict=True)
        ]
        selected = [
            evaluated(path, name, others, asked)
            for name, path in zip(names, paths, strict=True)
            if any(name in group for group in groups.values())
        ]
        record = dict(instance.record())
    _choose(rows, groups, {row["model"]: row[asked.chosen_by] for row in selected})
    if values["as_json"]:
        print_json({"models": rows})
    else:
        show_evaluations(rows, f"{choose_split}, {len(others)} rows")
        if not reads_pairs:
            echo(counted(judging, record))


def _groups(
    names: Sequence[str], patterns: Sequence[str], choose_split: str | None
) -> dict[str, Sequence[str]]:
    """Return the names that each pattern chooses from."""
    if bool(patterns) != bool(choose_split):
        raise click.UsageError("--best-of and --choose-split go together.")
    from tgdpo_core.evaluation.choosing import matching

    return {pattern: matching(names, pattern) for pattern in patterns}


def _choose(
    rows: Sequence[dict[str, Any]],
    groups: Mapping[str, Sequence[str]],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    """Note the scores that models are chosen by, and which pattern each is the best of."""
    from tgdpo_core.evaluation.choosing import best

    chosen = {p: best({n: scores[n]["mean"] for n in names}) for p, names in groups.items()}
    for row in rows:
        if (name := row["model"]) in scores:
            row["selection"] = scores[name]
            row["best_of"] = [pattern for pattern, found in chosen.items() if found == name]
