"""``tgdpo evaluate --dimensions``: truthfulness, refusals and bias."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.option_sets import trust_of, trust_options
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries, table

if TYPE_CHECKING:
    from tgdpo_core.dimensions.measuring import Sets
    from tgdpo_core.dimensions.recipe import DimensionsRecipe


@click.command("evaluate")
@click.argument("models", nargs=-1, required=True)
@click.option(
    "--dimensions", required=True, metavar="FILE", help="YAML, or the recipe `dimensions`."
)
@click.option(
    "--data", "data", multiple=True, metavar="SET=FILE", help="truthfulqa, xstest or bbq."
)
@click.option("--limit", type=click.IntRange(min=1), help="First N rows of each set.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16", "mixed"]),
    default="auto",
    show_default=True,
    help="Number format, as of the other forms of evaluate.",
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep results here, too. Those of a run folder are kept in its evaluation/dimensions.",
)
@trust_options
@json_option
@click.pass_obj
def command(session: Session, /, models: Sequence[str], **values: Any) -> None:
    """Measure truthfulness, refusals and bias of MODELS, on data sets that you have.

    TruthfulQA by MC1 and MC2, XSTest-like prompts by the share of refusals (told by how an answer
    begins), BBQ by its accuracies and bias scores. What each number means:
    docs/benchmarks-export.md.

    \b
      tgdpo evaluate runs/dpo runs/mine --dimensions dimensions --data bbq=Age.jsonl
    """
    quiet_libraries()
    from tgdpo_core.dimensions.measuring import read_sets

    recipe = _recipe(values["dimensions"], values["data"])
    sets = read_sets(recipe, values["limit"])
    rows = [
        _measured(session, name, model, (recipe, sets), values)
        for name, model in zip(short_names(models), models, strict=True)
    ]
    print_json({"models": rows}) if values["as_json"] else _show(rows)


def _recipe(config: str, data: Sequence[str]) -> "DimensionsRecipe":
    """Return the checked recipe, with the files of ``--data``."""
    from tgdpo_cli.recipe_options import key_value
    from tgdpo_cli.shipped_recipes import evaluation_recipe
    from tgdpo_core.dimensions.recipe import DimensionsRecipe
    from tgdpo_core.recipe.loading import load_recipe, validated

    content = load_recipe(evaluation_recipe(config))
    files: dict[str, list[str]] = {}
    for text in data:
        name, file = key_value(text, "--data")
        if name not in DimensionsRecipe.model_fields:
            raise click.UsageError(
                f"--data {text}: one of {', '.join(DimensionsRecipe.model_fields)}, found {name!r}."
            )
        files.setdefault(name, []).append(file)
    for name, paths in files.items():
        content[name] = {**(content.get(name) or {}), "path": paths}
    return validated(DimensionsRecipe, content, f"--dimensions {config}")


def _measured(
    session: Session,
    name: str,
    model: str,
    asked: "tuple[DimensionsRecipe, Sets]",
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the numbers of one model; they are kept in its run folder, and where asked for."""
    from tgdpo_cli.asked_models import model_path
    from tgdpo_cli.generation_options import precision_of
    from tgdpo_core.dimensions.measuring import measure
    from tgdpo_core.evaluation.kept_outputs import write_outputs
    from tgdpo_core.generation.engines import EngineSettings, open_in_process
    from tgdpo_core.store.folder import default_store_path
    from tgdpo_core.training.run_folder import RunFolder

    recipe, sets = asked
    path = model_path(model, session)
    precision = precision_of(values["dtype"], [path])
    trust = trust_of(values)
    engine = open_in_process(
        path, EngineSettings("transformers", values["batch_size"], precision, trust)
    )
    found = measure(engine, sets, recipe, store=Path(default_store_path()), label=name)
    row = {
        "model": name,
        "measured": [asdict(each) for each in found.measured],
        "notes": list(found.notes),
        "settings": {**recipe.model_dump(), "precision": precision.document()},
    }
    folder = RunFolder(path)
    if folder.read():
        write_outputs(folder.path / "evaluation" / "dimensions", row, found.outputs)
    if values["output_dir"]:
        write_outputs(values["output_dir"] / name.replace("/", "__"), row, found.outputs)
    return row


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each number, a column for each model; then what did not count."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        for each in row["measured"]:
            error = each["standard_error"]
            shown = f"{each['value']:.3f}" + (f" +- {error:.3f}" if error is not None else "")
            key = (each["dimension"], each["metric"], each["better"])
            lines.setdefault(key, {})[row["model"]] = f"{shown} ({each['num']})"
    names = [row["model"] for row in rows]
    table(
        ("set", "number", "better", *names),
        [(*key, *(found.get(name, "-") for name in names)) for key, found in lines.items()],
    )
    echo("Value +- standard error over questions (number of questions).")
    for row in rows:
        for note in row["notes"]:
            echo(f"{row['model']}: {note}")
