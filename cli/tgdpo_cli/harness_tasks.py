"""``tgdpo evaluate --tasks``: tasks of lm-evaluation-harness."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.option_sets import trust_of, trust_options
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries, table

if TYPE_CHECKING:
    from tgdpo_core.harness.tasks import Asking


@click.command("evaluate")
@click.argument("models", nargs=-1, required=True)
@click.option("--tasks", required=True, metavar="NAME,...", help="Tasks, groups or tags.")
@click.option(
    "--include-path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of tasks of your own (YAML).",
)
@click.option(
    "--task-data",
    "task_data",
    multiple=True,
    metavar="TASK.SPLIT=FILE",
    help="Take a task's split from a JSON, JSONL, CSV or Parquet file instead of the Hub.",
)
@click.option("--num-fewshot", type=click.IntRange(min=0), help="Default: as each task says.")
@click.option("--limit", type=click.IntRange(min=1), help="First N questions of each task.")
@click.option("--apply-chat-template", is_flag=True, help="Put questions as a user's messages.")
@click.option("--system", help="A system message, with --apply-chat-template.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Number format of the weights; auto: float32, or as the run was judged in training.",
)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep results here, too. Those of a run folder are kept in its evaluation/lm-eval.",
)
@trust_options
@json_option
@click.pass_obj
def command(session: Session, /, models: Sequence[str], **values: Any) -> None:
    """Put tasks of lm-evaluation-harness to MODELS (extra tgdpo[lm-eval]).

    Models are loaded as everywhere here (run folders, adapters); likelihoods, generation and
    metrics are the harness's own. Requests longer than the model's positions lose their beginning
    there: they are counted.

    \b
      tgdpo evaluate runs/dpo runs/mine --tasks truthfulqa_mc2 \\
                     --task-data truthfulqa_mc2.validation=truthful_qa.parquet
    """
    quiet_libraries()
    from tgdpo_core.harness.tasks import require_harness

    if values["system"] and not values["apply_chat_template"]:
        raise click.UsageError("--system: needs --apply-chat-template.")
    require_harness()
    rows = []
    with contextlib.redirect_stdout(sys.stderr):  # the harness says things of its own there
        asking, manager = _asking(values)
        for name, model in zip(short_names(models), models, strict=True):
            rows.append(_asked(session, name, model, (asking, manager), values))
    print_json({"models": rows}) if values["as_json"] else _show(rows)


def _asking(values: Mapping[str, Any]) -> tuple["Asking", Any]:
    """Return what the options mean, and the harness's tasks.

    Unknown tasks are refused here, before any model is loaded.
    """
    import tempfile

    from tgdpo_cli.recipe_options import key_value
    from tgdpo_core.harness.tasks import Asking, found_tasks, task_manager

    data: dict[str, dict[str, Path]] = {}
    for text in values["task_data"]:
        place, file = key_value(text, "--task-data")
        task, dot, split = place.rpartition(".")
        if not dot or not task or not split:
            raise click.UsageError(f"--task-data {text}: expected TASK.SPLIT=FILE.")
        data.setdefault(task, {})[split] = Path(file).expanduser()
    asking = Asking(
        tasks=[name.strip() for name in values["tasks"].split(",") if name.strip()],
        include_path=values["include_path"],
        data=data,
        num_fewshot=values["num_fewshot"],
        limit=values["limit"],
        apply_chat_template=values["apply_chat_template"],
        system=values["system"],
        seed=values["seed"],
    )
    manager = task_manager(asking)
    with tempfile.TemporaryDirectory() as folder:
        found_tasks(asking, manager, Path(folder))
    return asking, manager


def _asked(
    session: Session,
    name: str,
    model: str,
    asked_for: tuple["Asking", Any],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what one model reached; it is kept in its run folder, and where it is asked for."""
    import logging

    from tgdpo_cli.asked_models import model_path
    from tgdpo_cli.generation_options import precision_of
    from tgdpo_core.evaluation.kept_outputs import write_outputs
    from tgdpo_core.harness.run_model import RunModel
    from tgdpo_core.harness.tasks import ask
    from tgdpo_core.training.run_folder import RunFolder

    # It warns of what is meant here (a loaded model), and logs every step.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    path = model_path(model, session)
    precision = precision_of(values["dtype"], [path])
    asked = RunModel(
        path,
        precision=precision,
        trust=trust_of(values),
        batch_size=values["batch_size"],
    )
    scores = ask(asked, *asked_for)
    settings = {name: values[name] for name in values if name not in ("as_json", "output_dir")}
    row = {
        "model": name,
        **scores.document(),
        "settings": {**settings, "precision": precision.document()},
    }
    folder = RunFolder(path)
    if folder.read():
        write_outputs(folder.path / "evaluation" / "lm-eval", row, scores.samples)
    if values["output_dir"]:
        write_outputs(values["output_dir"] / name.replace("/", "__"), row, scores.samples)
    return row


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each metric, a column for each model; then what was cut."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        for score in row["scores"]:
            shots = score["num_fewshot"]
            key = (score["task"], score["metric"], "-" if shots is None else str(shots))
            error = score["standard_error"]
            shown = f"{score['value']:.4f}" + (f" +- {error:.4f}" if error is not None else "")
            lines.setdefault(key, {})[row["model"]] = shown
    names = [row["model"] for row in rows]
    table(
        ("task", "metric", "few-shot", *names),
        [(*key, *(found.get(name, "-") for name in names)) for key, found in lines.items()],
    )
    for row in rows:
        if row["num_cut"]:
            echo(
                f"{row['model']}: {row['num_cut']} of {row['num_requests']} requests were longer "
                "than the model's positions; the harness left out their beginnings."
            )
