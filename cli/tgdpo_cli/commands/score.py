"""``tgdpo score``: fill the store."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.output import (
    echo,
    json_option,
    print_json,
    quiet_libraries,
    show_data,
    show_diagnostics,
)
from tgdpo_cli.process_options import process_options, start_processes
from tgdpo_cli.recipe_options import recipe_from, recipe_options

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan
    from tgdpo_core.reports.diagnostics import Diagnostics

_OF_RAY = ("address", "num_actors", "cpus_per_actor", "gpus_per_actor")


@click.command("score", cls=GroupedCommand)
@recipe_options
@click.option("--describe", is_flag=True, help="Then print statistics of the rewards and weights.")
@json_option
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--address", help="Of the Ray cluster.  [default: auto, the one of this machine]")
@click.option(
    "--num-actors",
    type=click.IntRange(min=1),
    help="With Ray.  [default: as many as the cluster has room for]",
)
@click.option("--cpus-per-actor", type=click.FloatRange(min=0), help="With Ray.  [default: 1]")
@click.option(
    "--gpus-per-actor",
    type=click.FloatRange(min=0),
    help="With Ray.  [default: 1 if the cluster has GPUs]",
)
@process_options
@click.pass_obj
def command(session: Session, /, describe: bool, as_json: bool, **options: Any) -> int:
    """Fill the store of per-token values, without training.

    Takes the options of `tgdpo train`; what is stored already is not computed again, so that an
    interrupted run (SIGTERM, Ctrl-C: exit code 75) goes on where it stopped. `--num-processes N`
    shares the work between processes of this machine, one a GPU; `--executor ray` between the nodes
    of a Ray cluster, where a node that is lost costs the batch it was in.
    """
    _refuse_useless(options)
    recipe = recipe_from(session, options, needs_output=False)
    if (code := start_processes(options)) is not None:
        return code
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
    kept = "What was scored is kept; the same command goes on from there."
    with stopping_is(kept), _cluster(session, plan, options) as cluster:
        scorer = fill_store(plan, tokens, cluster.on if cluster else None)
    totals = scorer.totals()
    diagnostics = prepare_plan(plan, tokens)[0].diagnostics if describe else None
    if not is_first:
        return 0
    if as_json:
        extra = {"diagnostics": diagnostics.as_dict()} if diagnostics else {}
        print_json({**totals, **extra})
        return 0
    _show(plan, totals, diagnostics)
    return 0


def _show(plan: "Plan", totals: Mapping[str, Any], diagnostics: "Diagnostics | None") -> None:
    """Print what was computed and reused."""
    for source in plan.sources:
        if source.is_dynamic:
            echo(f"token_reward:{source.name}: scored at every step; nothing to store")
    for name, counts in totals["passes"].items():
        echo(
            f"{name}: {counts['computed']} pairs computed, {counts['reused']} reused "
            f"(key {counts['key']})"
        )
        if asked := counts.get("asked"):
            cost = f", {asked['cost']}" if asked["cost"] else ""
            echo(f"  {asked['responses']} responses asked in {asked['calls']} calls{cost}")
    if diagnostics:
        show_diagnostics(diagnostics)


def _refuse_useless(options: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing."""
    given = [key for key in _OF_RAY if options[key] is not None]
    if given and options["executor"] != "ray":
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --executor ray.")
    if options["num_processes"] and options["executor"] == "ray":
        raise click.UsageError("--num-processes goes with --executor local; Ray: --num-actors.")


def _cluster(session: Session, plan: "Plan", options: Mapping[str, Any]) -> Any:
    """Return the cluster that fills the store, or a context of None: this process does."""
    if options["executor"] != "ray":
        return contextlib.nullcontext()
    from tgdpo_core.preparation.on_ray import Actors, RayCluster

    cpus = options["cpus_per_actor"]
    actors = Actors(options["num_actors"], 1 if cpus is None else cpus, options["gpus_per_actor"])
    return RayCluster(options["address"] or "auto", plan, session.plugin_files, actors)
