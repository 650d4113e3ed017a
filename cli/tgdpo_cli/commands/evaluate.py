"""``tgdpo evaluate``: generate and judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tgdpo_cli.main import Session
from tgdpo_cli.output import print_json, quiet_libraries, table


@click.command("evaluate")
@click.argument("models", nargs=-1, required=True)
@click.option("--dataset", required=True, help="Prompts: Hub id, file, folder, or registered name.")
@click.option("--split", default="test", show_default=True, help="Split of the data set.")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first N prompts only.")
@click.option("--judge", required=True, help="Registered judge: tgdpo plugins list.")
@click.option(
    "--judge-arg", "judge_args", multiple=True, metavar="KEY=VALUE", help="Option of the judge."
)
@click.option("--samples", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True)
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    session: Session,
    /,
    models: Sequence[str],
    dataset: str,
    split: str,
    limit: int | None,
    judge: str,
    judge_args: Sequence[str],
    as_json: bool,
    **sampling: Any,
) -> None:
    """Generate answers with MODELS (run folders, folders, Hub ids, registered names); judge them.

    Every prompt is answered once greedily and --samples times at random. Of a run folder, loss and
    displacement at the end of training are shown too, and answers are kept in its evaluation/.
    """
    quiet_libraries()
    from tgdpo_cli.recipe_options import key_value
    from tgdpo_core.data.formats import parse_rows
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.data.sources import load_rows
    from tgdpo_core.evaluation.generation import Sampling

    report = DataReport(dataset)
    pairs = parse_rows(load_rows(dataset, split=split, plugins=session.plugins), report)
    report.raise_if_unusable("error")
    arguments = dict(key_value(text, "--judge-arg") for text in judge_args)
    instance = session.plugins.find("judge", judge).create(arguments)
    settings = {"dataset": dataset, "split": split, "judge": judge, **sampling}
    instance.setup()
    try:
        rows = [
            _evaluate(
                session, model, pairs[:limit], (judge, instance), Sampling(**sampling), settings
            )
            for model in models
        ]
    finally:
        instance.teardown()
    print_json(rows) if as_json else _show(rows)


def _evaluate(
    session: Session,
    name: str,
    pairs: Sequence[Any],
    judge: tuple[str, Any],
    sampling: Any,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one row: scores, and what the run folder says about its training."""
    import torch

    from tgdpo_core.evaluation.judging import evaluate, write_evaluation
    from tgdpo_core.scoring.context import Precision, load_frozen
    from tgdpo_core.training.inputs import load_tokenizer
    from tgdpo_core.training.plan import registered_model
    from tgdpo_core.training.run_folder import RunFolder

    path = registered_model(name, session.plugins) or name

    def load() -> tuple[Any, Any]:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return load_frozen(path, precision=Precision()).to(device), load_tokenizer(path)

    result = evaluate(Path(name).name, load, pairs, judge, sampling)
    folder = RunFolder(path)
    record = folder.read()
    if record:
        write_evaluation(folder.path / "evaluation", result, pairs, dict(settings))
    metrics = record.get("metrics", {})
    return {**result.summary(), "folder": str(path) if record else None, "metrics": metrics}


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    def score(row: Mapping[str, Any], kind: str) -> str:
        return f"{row[kind]['mean']:.3f} +- {row[kind]['standard_error']:.3f}"

    def metric(row: Mapping[str, Any], name: str) -> str:
        """Prefer evaluation data; what is unknown for a model that is no run is a dash."""
        value = row["metrics"].get(f"eval_{name}", row["metrics"].get(name))
        return "-" if value is None else f"{value:.3f}"

    shown = [
        (
            row["model"],
            score(row, "greedy"),
            score(row, "sampled"),
            metric(row, "loss"),
            metric(row, "logps/chosen_delta"),
            metric(row, "logps/rejected_delta"),
        )
        for row in rows
    ]
    header = ("model", "greedy", "sampled", "loss", "displacement chosen", "rejected")
    table(header, shown)
    click.echo(
        f"{rows[0]['num_prompts']} prompts, score +- standard error. Loss and displacement (nats, "
        "log pi - log pi_ref of a response) on evaluation pairs, else the last training rows."
    )
    for row in rows:
        if row["folder"]:
            click.echo(f"{row['model']}: {row['folder']}")
