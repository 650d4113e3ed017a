"""``tgdpo ablate``: a grid of runs, and what it shows."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from tgdpo_cli import completion
from tgdpo_cli.ablation_output import show_ablation, show_results, size_of
from tgdpo_cli.grid_options import grid_from
from tgdpo_cli.list_options import ListCommand, ListOption, NumberList
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, quiet_libraries

if TYPE_CHECKING:
    from tgdpo_core.experiments.executors import LocalExecutor, RayExecutor
    from tgdpo_core.experiments.tasks import Ablation, Task
    from tgdpo_core.experiments.work import Outcome


@click.command("ablate", cls=ListCommand)
@click.option(
    "--config",
    "--recipe",
    "config",
    required=True,
    shell_complete=completion.recipes,
    help="Ablation, or the recipe of a run: a file, or a name of `tgdpo recipes list`.",
)
@click.option(
    "--reward-plugin",
    "rewards",
    cls=ListOption,
    metavar="NAME...",
    help="Sources to compare.  [default: those of the recipe]",
    shell_complete=completion.plugin_names("token-reward"),
)
@click.option(
    "--reward-arg",
    "reward_args",
    multiple=True,
    metavar="NAME.KEY=VALUE",
    help="Their options.",
    shell_complete=completion.option_keys("token-reward", "rewards"),
)
@click.option(
    "--reward-transform",
    "transforms",
    cls=ListOption,
    metavar="NAME[:KEY=VALUE,...]",
    shell_complete=completion.plugin_names("transform"),
    help="Transforms of all of them, applied in order.",
)
@click.option(
    "--control",
    "controls",
    cls=ListOption,
    metavar="NAME...",
    help="Such as permute; none: no control.  [default for the recipe's own reward: permute "
    "class-mean gaussian; for those of --reward-plugin: none]",
    shell_complete=completion.plugin_names("transform"),
)
@click.option(
    "--shaping",
    "shapings",
    cls=ListOption,
    metavar="NAME...",
    help="Shapings.",
    shell_complete=completion.plugin_names("shaping"),
)
@click.option("--alpha", "alphas", cls=NumberList, metavar="NUMBER...", help="Of the shaping.")
@click.option("--beta", "betas", cls=NumberList, metavar="NUMBER...", help="Of the loss.")
@click.option(
    "--reward-beta", "reward_betas", cls=NumberList, metavar="NUMBER...", help="Of the reward."
)
@click.option("--seeds", metavar="N", help="The first N seeds, or a list such as 4,5,6.")
@click.option(
    "--model",
    help="Policy: Hub id, folder, or run folder.",
    shell_complete=completion.models,
)
@click.option(
    "--dataset",
    help="Preference pairs: Hub id, file, folder, or registered name.",
    shell_complete=completion.plugin_names("dataset", files=True),
)
@click.option(
    "--eval-dataset",
    help="Pairs to evaluate on during training.",
    shell_complete=completion.plugin_names("dataset", files=True),
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Any key, of all cells.",
    shell_complete=completion.recipe_keys,
)
@click.option("--output-dir", help="The ablation folder.  [default: runs/NAME]")
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Run code that model repositories bring, where the recipe asks for it.",
)
@click.option("--quick", is_flag=True, help="The form of about a minute that the file has.")
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Cells at a time.  [default: one a GPU, or a core]"
)
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--address", help="Of the Ray cluster.  [default: auto, the one of this machine]")
@click.option("--cpus-per-cell", type=click.IntRange(min=1), help="Threads of a cell.")
@click.option(
    "--gpus-per-cell",
    type=click.FloatRange(min=0),
    help="With Ray.  [default: 1 if the cluster has GPUs]",
)
@click.option("--dry-run", is_flag=True, help="Say which cells there are; run nothing.")
@json_option
@click.pass_obj
def command(session: Session, /, **options: Any) -> int:
    """Compare token rewards, transforms, shapings, alpha and beta over several seeds.

    \b
      tgdpo ablate --config playground-rewards
      tgdpo ablate --config my-recipe.yaml --alpha 0.5 1 --seeds 4
      tgdpo ablate --config playground --reward-plugin playground-oracle random \\
                   --alpha 0.5 2 --beta 0.1 0.5 --seeds 4

    With the recipe of a run, its own token reward is the variant: compared with plain DPO and with
    controls that keep its values and lose its places (permute), keep two constants (class-mean) or
    are noise of its size (gaussian). Options that say more than the recipe replace or widen it.

    Every cell is an ordinary run, and compared with plain DPO (alpha = 0) that shares everything
    else with it. Started again, it does only what is missing; a cell that fails stops no other.
    Leaves results.md, results.csv, report.html and plots in the output folder.
    """
    _refuse_useless(options)
    quiet_libraries()
    from tgdpo_core.experiments.planning import plan_ablation

    grid, name = grid_from(options)
    folder = Path(options["output_dir"] or f"runs/{name}")
    ablation = plan_ablation(grid, folder, session.plugins)
    if options["dry_run"]:
        show_ablation(ablation, options["as_json"])
        return 0
    from tgdpo_core.experiments.ablation import run_ablation
    from tgdpo_core.experiments.work import Settings

    threads = _threads(options)
    plugin_files = [os.path.abspath(path) for path in session.plugin_files]
    settings = Settings(run_command, plugin_files, threads)
    log = sys.stderr if options["as_json"] else sys.stdout
    echo(_beginning(ablation), err=True)
    with _progress(ablation, log) as report, _executor(options, threads) as executor:
        summary = run_ablation(ablation, executor, settings, report=report)
    show_results(ablation, summary, options["as_json"])
    codes = [outcome.exit_code for outcome in summary.outcomes.values() if outcome.error]
    return codes[0] if codes else 0


def run_command(arguments: Sequence[str], plugin_files: Sequence[str]) -> int:
    """Run a tgdpo command in this process and return its exit code."""
    from tgdpo_cli.main import cli, run

    flags = [flag for path in plugin_files for flag in ("--plugin-file", path)]
    return run(lambda: cli.main([*flags, *arguments], prog_name="tgdpo", standalone_mode=False))


def _refuse_useless(options: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing."""
    on_ray = options["executor"] == "ray"
    for flag, key, needed, is_there in (
        ("--jobs", "jobs", "--executor local", not on_ray),
        ("--address", "address", "--executor ray", on_ray),
        ("--gpus-per-cell", "gpus_per_cell", "--executor ray", on_ray),
    ):
        is_given = options[key] is not None and options[key] is not False
        if is_given and not is_there:
            raise click.UsageError(f"{flag} goes with {needed}.")


# -- where it runs --------------------------------------------------------------------------------


def _jobs(options: Mapping[str, Any]) -> int:
    from tgdpo_core.experiments.executors import visible_gpus

    return int(options["jobs"] or len(visible_gpus()) or _cores())


def _cores() -> int:
    # macOS cannot say which of its processors a process may use.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _threads(options: Mapping[str, Any]) -> int:
    """Return the threads of a cell: what the machine has, shared out; with Ray one."""
    if options["cpus_per_cell"]:
        return int(options["cpus_per_cell"])
    if options["executor"] == "ray":
        return 1
    return max(1, _cores() // _jobs(options))


def _executor(options: Mapping[str, Any], threads: int) -> "LocalExecutor | RayExecutor":
    from tgdpo_core.experiments.executors import LocalExecutor, RayExecutor, visible_gpus

    if options["executor"] == "ray":
        address = options["address"] or "auto"
        return RayExecutor(address, cpus=threads, gpus=options["gpus_per_cell"])
    return LocalExecutor(_jobs(options), gpus=visible_gpus())


# -- what is shown --------------------------------------------------------------------------------


def _beginning(ablation: "Ablation") -> str:
    """Return what is about to be done: the first line would else come after the first task."""
    from tgdpo_core.experiments.ablation import is_finished

    done = sum(is_finished(run) for run in ablation.runs)
    kept = f" Finished already: {done}." if done else ""
    return f"{size_of(ablation)}.{kept} What each prints: {ablation.folder}/cells/*/*/output.txt"


@contextlib.contextmanager
def _progress(ablation: "Ablation", log: TextIO) -> Any:
    """Yield what shows how tasks end: a bar of runs, a line in the log for each."""
    from tgdpo_core.experiments.ablation import is_finished
    from tgdpo_core.experiments.tasks import CellRun
    from tgdpo_core.progress import StageBar
    from tgdpo_core.reports.visible import printable

    missing = sum(not is_finished(run) for run in ablation.runs)
    # Where there is no screen, the lines of the log are enough.
    with StageBar(total=missing, desc="runs", unit="run", disable=None) as bar:

        def report(task: "Task", outcome: "Outcome") -> None:
            is_run = isinstance(task, CellRun)
            if outcome.error is not None:
                line = f"FAILED {task.label}: {outcome.error}"
            elif is_run or not outcome.computed:
                line = f"{task.label}: {outcome.seconds:.0f} s"
            else:
                line = f"{task.label}: {outcome.seconds:.0f} s, {outcome.computed} pairs computed"
            StageBar.write(printable(line), file=log)
            log.flush()  # a log file is read while the ablation goes on
            if is_run:
                bar.update()

        yield report
