"""``tgdpo validate``: everything that can be checked without a model."""

from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.objective_text import objective_lines
from tgdpo_cli.output import echo, json_option, print_json, show_data
from tgdpo_cli.recipe_options import recipe_from, recipe_options

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan

_NOT_LOOKED_AT = ("lengths", "chat template", "special tokens")


@click.command("validate", cls=GroupedCommand)
@recipe_options
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool, **options: Any) -> None:
    """Check recipe, paths, plugins and data rows; load no model and no torch.

    A model's folder must have config, weights and tokenizer; a Hub id is not looked for. Lengths,
    chat templates and special tokens are looked at when rows are tokenized: by `tgdpo train
    --dry-run`, train, score and inspect, which then say what was cut or changed.

    Takes the options of `tgdpo train`. Everything that is wrong is said at once, as far as one
    thing does not hide another. The exit code says what is wrong: 2 the recipe, 3 the data, 4 a
    plugin.
    """
    from tgdpo_core.preparation.model_files import check_model_files
    from tgdpo_core.preparation.plan import make_plan
    from tgdpo_core.preparation.reading import read

    plan = make_plan(recipe_from(session, options, needs_output=False), session.plugins)
    not_found_here = check_model_files(plan)
    pairs = read(plan)
    evaluation = pairs.evaluation.report if pairs.evaluation else None
    if as_json:
        reports = {
            "data": pairs.train.report.as_dict(),
            "evaluation": evaluation and evaluation.as_dict(),
        }
        print_json({**_described(plan, not_found_here), **reports})
        return
    show_data(pairs.train.report, evaluation)
    _show(plan, not_found_here)


def _described(plan: "Plan", not_found_here: list[str]) -> dict[str, Any]:
    """Return JSON: what a recipe names, as it was found."""
    recipe = plan.recipe
    return {
        "valid": True,
        "model": plan.model,
        "reference": recipe.reference.name_or_path,
        "hub_ids_not_looked_for": not_found_here,
        "reward": [source.describe() for source in plan.sources],
        "shaping": {"name": plan.shaping[0], "options": plan.shaping[1].options()},
        "loss": {**recipe.loss.model_dump(mode="json"), "options": plan.loss[1].options()},
        "judge": recipe.judging and recipe.judging.judge,
        "output_dir": recipe.output_dir,
        "not_looked_at": list(_NOT_LOOKED_AT),
    }


def _show(plan: "Plan", not_found_here: list[str]) -> None:
    """Print what a recipe names, as it was found."""
    echo(f"Model: {plan.model}")
    for name in not_found_here:
        echo(f"  {name}: no folder of this name, taken for a Hub id; not looked for there")
    for line in objective_lines(plan):
        echo(line)
    echo(f"Not looked at: {', '.join(_NOT_LOOKED_AT)} (train --dry-run does).")
    echo("Valid.")
