"""``tgdpo score``: fill the store."""

from typing import Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.output import print_json, quiet_libraries, show_data, show_diagnostics
from tgdpo_cli.recipe_options import recipe_from, recipe_options


@click.command("score")
@recipe_options
@click.option("--describe", is_flag=True, help="Then print statistics of the rewards and weights.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(session: Session, /, describe: bool, as_json: bool, **options: Any) -> None:
    """Fill the store of per-token values, without training.

    Takes the options of `tgdpo train`; what is stored already is not computed again, so that an
    interrupted run (SIGTERM, Ctrl-C: exit code 75) goes on where it stopped. Start it with
    `accelerate launch -m tgdpo_cli.main score ...` to share the work between processes.
    """
    recipe = recipe_from(options, needs_output=False)
    quiet_libraries()
    from tgdpo_core.preparation.plan import make_plan

    plan = make_plan(recipe, session.plugins)
    from tgdpo_core.preparation.prepared import prepare_plan
    from tgdpo_core.preparation.reading import read
    from tgdpo_core.preparation.scoring import fill_store, is_first_process
    from tgdpo_core.preparation.tokens import tokenize
    from tgdpo_core.training.durability.signals import stopping_is

    is_first = is_first_process(plan)
    tokens = tokenize(plan, read(plan), show=show_data if is_first and not as_json else None)
    with stopping_is("What was scored is kept; the same command goes on from there."):
        scorer = fill_store(plan, tokens)
    totals = scorer.totals()
    diagnostics = prepare_plan(plan, tokens)[0].diagnostics if describe else None
    if not is_first:
        return
    if as_json:
        extra = {"diagnostics": diagnostics.as_dict()} if diagnostics else {}
        print_json({**totals, **extra})
        return
    for source in plan.sources:
        if source.is_dynamic:
            click.echo(f"token_reward:{source.name}: scored at every step; nothing to store")
    for name, counts in totals["passes"].items():
        click.echo(
            f"{name}: {counts['computed']} pairs computed, {counts['reused']} reused "
            f"(key {counts['key']})"
        )
    if diagnostics:
        show_diagnostics(diagnostics)
