"""``tgdpo validate``: everything that can be checked without a model."""

from typing import Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, print_json, show_data
from tgdpo_cli.recipe_options import recipe_from, recipe_options


@click.command("validate")
@recipe_options
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool, **options: Any) -> None:
    """Check recipe, paths, plugins and data rows; load no model and no torch.

    Lengths, chat templates and special tokens are looked at when rows are tokenized: by
    `tgdpo train --dry-run`, train, score and inspect, which then say what was cut or changed.

    Takes the options of `tgdpo train`. The exit code says what is wrong: 2 the recipe, 3 the data,
    4 a plugin.
    """
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.preparation.reading import read

    plan = make_plan(recipe_from(session, options, needs_output=False), session.plugins)
    pairs = read(plan)
    evaluation = pairs.evaluation.report if pairs.evaluation else None
    if as_json:
        reports = {
            "data": pairs.train.report.as_dict(),
            "evaluation": evaluation and evaluation.as_dict(),
        }
        print_json({"model": plan.model, **reports})
        return
    show_data(pairs.train.report, evaluation)
    echo(f"Model: {plan.model}")
    for source in plan.sources:
        echo(f"Reward: {source}, weight {source.weight:g}")
    echo(f"Shaping: {plan.shaping[0]} {plan.shaping[1].options()}")
    echo("Not looked at: lengths, chat template, special tokens (train --dry-run does).")
    echo("Valid.")
