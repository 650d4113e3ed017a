"""``tgdpo convert``: a configuration of TRL or LLaMA-Factory becomes a recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.output import echo, json_option, print_json, table_text

if TYPE_CHECKING:
    from tgdpo_core.recipe.converting.account import Conversion


_PLACES = {"dataset": "data.path", "eval_dataset": "data.eval_path", "model": "model.name_or_path"}
_WHAT_IS_TRAINED_ON = ("dataset", "dataset_name", "datasets")


@click.command("convert")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The recipe's file; default: it is printed.",
)
@click.option("--overwrite", is_flag=True, help="Replace the recipe's file.")
@click.option(
    "--from",
    "program",
    type=click.Choice(("trl", "llama-factory")),
    help="Whose file it is.  [default: told by its keys]",
)
@click.option(
    "--dataset",
    help="Training pairs, over what the file names.",
    shell_complete=completion.plugin_names("dataset", files=True),
)
@click.option(
    "--eval-dataset",
    help="Evaluation pairs, over what the file names.",
    shell_complete=completion.plugin_names("dataset", files=True),
)
@click.option("--model", help="Policy, over what the file names.", shell_complete=completion.models)
@click.option(
    "--without",
    "without",
    multiple=True,
    metavar="KEY",
    help="Leave out a key that is refused, although numbers may change (repeatable).",
)
@json_option
def command(
    file: Path,
    output: Path | None,
    overwrite: bool,
    program: str | None,
    without: Sequence[str],
    as_json: bool,
    **given: str | None,
) -> None:
    """Make a recipe of a configuration of TRL (trl dpo --config) or LLaMA-Factory.

    Also of the official TGDPO code's, which is a fork of LLaMA-Factory. Every key is accounted for:
    converted, without meaning here (and why), or refused where leaving it out would change numbers.
    Defaults of the other program that differ from ours are written out.

    \b
      tgdpo convert llama3_8b_instruct_tgdpo.yaml --dataset pairs.json --output recipe.yaml
      tgdpo validate --config recipe.yaml
    """
    from tgdpo_core.recipe import load_recipe
    from tgdpo_core.recipe.converting import convert
    from tgdpo_core.recipe.converting.dataset_info import DataFolder

    if output and output.exists() and not overwrite:
        raise click.UsageError(f"{output} exists already: name another file, or --overwrite.")
    content = load_recipe(file)
    settings = {_PLACES[name]: value for name, value in given.items() if value is not None}
    if "output_dir" not in content:
        settings["output_dir"] = f"runs/{file.stem}"
    made = convert(
        content,
        program=program,
        data=DataFolder((Path(), file.parent, file.parent.parent), given["dataset"]),
        settings=settings,
        without=without,
    )
    _show_account(made)
    _refuse(made, file)
    text = _written(made, file)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    if as_json:
        print_json(_document(made, output))
    elif output:
        echo(f"Wrote {output}. Next: tgdpo validate --config {output}")
    else:
        echo(text.rstrip("\n"))


def _show_account(made: "Conversion") -> None:
    """Say on stderr what became of every key, what stands in the way first."""
    order = ("refused", "converted", "default", "no meaning", "left out")
    found = sorted(made.accounts, key=lambda each: order.index(each.outcome))
    rows = [
        (each.key, each.outcome, "; ".join(filter(None, (each.where, each.note)))) for each in found
    ]
    echo(f"{made.program}:", err=True)
    for line in table_text(("key", "what became of it", "where, why"), rows, err=True):
        echo(line, err=True)
    for check in made.checks:
        echo(f"Check: {check}", err=True)
    echo("", err=True)


def _refuse(made: "Conversion", file: Path) -> None:
    from tgdpo_core.errors import RecipeError

    if made.refused:
        lines = [f"- {each.key}: {each.note}" for each in made.refused]
        keys = " ".join(
            f"--without {each.key}"
            for each in made.refused
            if each.key in made.given and each.key not in _WHAT_IS_TRAINED_ON
        )
        end = f"\nChange {file}, or leave them out knowingly: {keys}" if keys else ""
        raise RecipeError("\n".join([f"{file} is not converted:", *lines]) + end)


def _written(made: "Conversion", file: Path) -> str:
    """Return the recipe as YAML, with what a reader must know above it."""
    import yaml

    said = [f"{each.key}: {each.note}" for each in made.accounts if each.outcome == "left out"]
    unmet = [f"{each.key}: {each.note}" for each in made.accounts if each.outcome == "no meaning"]
    head = [f"Made by tgdpo convert from {file.name} ({made.program})."]
    head += [f"Check: {check}" for check in made.checks]
    head += [f"Left out, numbers may change: {line}" for line in said]
    head += [f"Without meaning here: {line}" for line in unmet]
    comments = "".join(f"# {' '.join(line.split())}\n" for line in head)
    return comments + yaml.safe_dump(made.recipe, sort_keys=False, allow_unicode=True)


def _document(made: "Conversion", output: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "program": made.program,
        "recipe": made.recipe,
        "accounts": [asdict(each) for each in made.accounts],
        "checks": made.checks,
        "file": output and str(output),
    }
