"""``tgdpo recipes``: ready-made runs, and what starts them on many GPUs."""

import json
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from tgdpo_cli import completion
from tgdpo_cli.group_options import belongs_to_the_list
from tgdpo_cli.output import echo, json_option, print_json, table
from tgdpo_cli.shipped_recipes import (
    evaluation_files,
    find_file,
    further_files,
    is_ablation,
    shipped_recipes,
)


@click.group("recipes", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, show and copy the recipes that come along (default: list)."""
    belongs_to_the_list(ctx, as_json)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_recipes, as_json=as_json)


@command.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes; the first comment line of each says what it is."""
    rows = []
    for name, file in {**shipped_recipes(), **evaluation_files(), **further_files()}.items():
        lines = file.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("#!"))
        rows.append((name, _command_of(name, file), first.lstrip("# ")))
    if as_json:
        names = ("name", "command", "what")
        print_json({"recipes": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(("recipe", "for", "what"), rows)


@command.command("show")
@click.argument("name", shell_complete=completion.recipe_files)
@json_option
def show(name: str, as_json: bool) -> None:
    """Print a recipe."""
    file = find_file(name)
    text = file.read_text(encoding="utf-8")
    if as_json:
        print_json({"name": name, "command": _command_of(name, file), "text": text})
        return
    click.echo(text, nl=False)


@command.command("copy")
@click.argument("name", shell_complete=completion.recipe_files)
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
def copy(name: str, file: str, as_json: bool) -> None:
    """Copy a recipe to FILE, to be edited and used; accelerate/* and slurm/* are copied, too."""
    target = Path(file)
    if target.exists():
        raise click.UsageError(f"{file} exists already; choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = find_file(name)
    target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    use = _use_of(name, source, file)
    if as_json:
        print_json({"file": file, "use": use})
        return
    echo(f"Wrote {file}. Use it with: {use}")


@command.command("schema")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to a file.",
)
@json_option
def schema(output: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of a recipe, for editors.

    \b
      tgdpo recipes schema --output recipe.schema.json

    With this first line an editor that knows yaml-language-server (VS Code, Neovim, JetBrains ..)
    completes and checks a recipe while it is written:

    \b
      # yaml-language-server: $schema=recipe.schema.json
    """
    from tgdpo_core.recipe.json_schema import recipe_schema

    document = recipe_schema()
    if output is None:
        print_json(document)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json({"file": str(output)})
        return
    echo(f"Wrote {output}. First line of a recipe: # yaml-language-server: $schema={output}")


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
