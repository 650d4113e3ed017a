"""``tgdpo recipes``: ready-made runs."""

from importlib.resources.abc import Traversable
from pathlib import Path

import click

from tgdpo_cli.output import echo, table
from tgdpo_cli.shipped_recipes import find_recipe, is_ablation, shipped_recipes


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
    for name, file in shipped_recipes().items():
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        rows.append((name, _command_of(file), first.lstrip("# ")))
    table(("recipe", "for", "what"), rows)


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe."""
    click.echo(find_recipe(name).read_text(encoding="utf-8"), nl=False)


@command.command("copy")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False))
def copy(name: str, file: str) -> None:
    """Copy a recipe to FILE, to be edited and used with --config."""
    target = Path(file)
    if target.exists():
        raise click.UsageError(f"{file} exists already; choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(find_recipe(name).read_text(encoding="utf-8"), encoding="utf-8")
    echo(f"Wrote {file}. Use it with: tgdpo {_command_of(find_recipe(name))} --config {file}")


def _command_of(file: Traversable) -> str:
    return "ablate" if is_ablation(file) else "train"
