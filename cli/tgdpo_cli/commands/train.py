"""``tgdpo train``: the main job."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.dry_run import dry_run as describe
from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries, show_data
from tgdpo_cli.process_options import process_options, require_one_gpu, start_processes
from tgdpo_cli.recipe_options import recipe_from, recipe_options

if TYPE_CHECKING:
    from tgdpo_core.recipe import Recipe
    from tgdpo_core.training.run_folder import RunFolder


@click.command("train", cls=GroupedCommand)
@recipe_options
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint of the run.")
@click.option("--overwrite", is_flag=True, help="Replace a run that the folder holds.")
@click.option(
    "--allow-changed",
    "allow_changed",
    multiple=True,
    metavar="KEY",
    help="With --resume: this may differ from the saved run (learning_rate, data, versions, ..).",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Score (what is stored is reused) and describe; train nothing, write no run folder.",
)
@json_option
@click.option(
    "--gpu-memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GIB",
    help="Memory of a GPU that a step must fit into; default: that of the GPU that is here.",
)
@click.option(
    "--gpus",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --dry-run: memory of each of N GPUs that share the weights (FSDP2).",
)
@process_options
@click.pass_obj
def command(
    session: Session,
    /,
    resume: bool,
    overwrite: bool,
    allow_changed: Sequence[str],
    dry_run: bool,
    as_json: bool,
    gpu_memory: float | None,
    gpus: int | None,
    **options: Any,
) -> int:
    """Train a model on preference pairs, with token rewards from a plugin.

    \b
    Plain DPO, then TGDPO on the reward that it induces:
      tgdpo train --model M --dataset pairs.jsonl --reward-plugin none --output-dir runs/dpo
      tgdpo train --model M --dataset pairs.jsonl --output-dir runs/tgdpo \\
                  --reward-plugin induced --reward-arg model=runs/dpo

    Reference log-probs and token rewards are computed once, before training, and stored: a second
    run that changes only learning rate, alpha, beta or output folder computes nothing again.

    SIGTERM, SIGINT (Ctrl-C) or SIGHUP: the step is finished and saved, exit code 75; again: stop at
    once. --resume goes on from the newest whole checkpoint, exactly (docs/reliability.md).

    Several GPUs: --num-processes 8, with FSDP2 also --accelerate-config fsdp2.yaml (docs/gpu.md).
    """
    _refuse_useless(
        (
            (resume and overwrite, "--resume and --overwrite exclude each other."),
            (gpus and not dry_run, "--gpus belongs to --dry-run."),
            (allow_changed and not resume, "--allow-changed goes with --resume."),
        )
    )
    recipe = recipe_from(session, options)
    if not dry_run:
        _require_folder(recipe.output_dir, resume=resume, overwrite=overwrite)
    if (code := _started(recipe, dry_run, options)) is not None:
        return code
    quiet_libraries()
    from tgdpo_core.preparation.plan import make_plan

    plan = make_plan(recipe, session.plugins)
    from tgdpo_core.training import run
    from tgdpo_core.training.memory.planning import machine_of

    is_asked = dry_run or gpu_memory or gpus
    machine = machine_of(memory_gib=gpu_memory, gpus=gpus) if is_asked else None
    if dry_run:
        describe(plan, machine=machine or machine_of(), as_json=as_json)
        return 0
    folder = run.train(
        plan,
        resume=resume,
        overwrite=overwrite,
        allow_changed=allow_changed,
        show=None if as_json else show_data,
        machine=machine,
    )
    from tgdpo_core.preparation.scoring import is_first_process

    if is_first_process(plan):
        _show_run(folder, as_json)
    return 0


def _refuse_useless(conditions: Sequence[tuple[Any, str]]) -> None:
    """Refuse options that contradict each other or would change nothing."""
    for is_useless, message in conditions:
        if is_useless:
            raise click.UsageError(message)


def _require_folder(output_dir: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse an occupied output folder before any work; say where nothing is there to resume."""
    from tgdpo_core.training.run_folder import RunFolder, require_free

    require_free(output_dir, resume=resume, overwrite=overwrite)
    if resume and not RunFolder(output_dir).read():
        echo(f"--resume: {output_dir} holds no run; it starts from the beginning.", err=True)


def _show_run(folder: "RunFolder", as_json: bool) -> None:
    """Print where everything of a finished run is."""
    if as_json:
        record = folder.read()
        paths = {"folder": folder.path, "model": folder.model, "log": folder.log}
        kept = {name: record.get(name) for name in ("status", "metrics", "store", "diagnostics")}
        print_json({**{name: str(path) for name, path in paths.items()}, **kept})
        return
    echo(f"Done: {folder.path} (model in {folder.model}, metrics in {folder.log})")
    if (page := folder.path / "report.html").is_file():
        echo(f"Curves and pairs: {page}")


def _started(recipe: "Recipe", dry_run: bool, options: Mapping[str, Any]) -> int | None:
    """Train in several processes, if that is asked for, and return the exit code; None: here."""
    given = [name for name in ("num_processes", "accelerate_config") if options[name]]
    if dry_run and given:
        raise click.UsageError(f"--dry-run describes one process: leave --{given[0]} out.")
    if dry_run:
        return None
    code = start_processes(options)
    if code is None:
        require_one_gpu(use_cpu=bool(recipe.training.get("use_cpu")))
    return code
