"""``tgdpo recipes``: ready-made runs, and what starts them on many GPUs."""

from importlib.resources.abc import Traversable
from pathlib import Path

import click

from tgdpo_cli.output import echo, table
from tgdpo_cli.shipped_recipes import (
    evaluation_files,
    find_file,
    is_ablation,
    launch_files,
    shipped_recipes,
)


@click.group("recipes", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show and copy the recipes that come along (default: list)."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_recipes)


@command.command("list")
def list_recipes() -> None:
    """List the recipes; the first comment line of each says what it is."""
    rows = []
    for name, file in {**shipped_recipes(), **evaluation_files(), **launch_files()}.items():
        lines = file.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("#!"))
        rows.append((name, _command_of(name, file), first.lstrip("# ")))
    table(("recipe", "for", "what"), rows)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe."""
    click.echo(find_file(name).read_text(encoding="utf-8"), nl=False)


@command.command("copy")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False))
def copy(name: str, file: str) -> None:
    """Copy a recipe to FILE, to be edited and used; accelerate/* and slurm/* are copied, too."""
    target = Path(file)
    if target.exists():
        raise click.UsageError(f"{file} exists already; choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = find_file(name)
    target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    echo(f"Wrote {file}. Use it with: {_use_of(name, source, file)}")


def _command_of(name: str, file: Traversable) -> str:
    folder = name.partition("/")[0] if "/" in name else ""
    if name.removesuffix(".yaml") in evaluation_files():
        return "evaluate"
    return folder or ("ablate" if is_ablation(file) else "train")


def _use_of(name: str, source: Traversable, file: str) -> str:
    command = _command_of(name, source)
    if command == "slurm":
        return f"sbatch {file} (edit it first)"
    if command == "accelerate":
        return f"tgdpo train --config RECIPE --accelerate-config {file}"
    if command == "evaluate":
        return f"tgdpo evaluate RUN... --dimensions {file}"
    return f"tgdpo {command} --config {file}"
