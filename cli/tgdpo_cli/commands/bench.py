"""``tgdpo bench reward``: how well token rewards find marked errors, before any training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries, table
from tgdpo_cli.recipe_options import key_value, transform_entry

if TYPE_CHECKING:
    from tgdpo_core.bench.request import BenchRequest, RewardEntry
    from tgdpo_core.bench.results import BenchResults
    from tgdpo_core.bench.tables import Table


@click.group("bench")
def command() -> None:
    """Judge what a run would depend on, before the run."""


@command.command("reward")
@click.argument(
    "rewards",
    nargs=-1,
    required=True,
    metavar="[LABEL=]NAME...",
    shell_complete=completion.plugin_names("token-reward"),
)
@click.option(
    "--dataset", required=True, help="Rows with marked errors: file, folder, Hub id, or playground."
)
@click.option("--split", help="Of the data set.  [default: test of a registered one, else train]")
@click.option("--model", help="Policy, whose tokens are judged: Hub id, folder, or run folder.")
@click.option("--reference", help="Reference model; default: the policy.")
@click.option(
    "--reward-arg",
    "reward_args",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of a reward (LABEL.KEY=VALUE where there are several).",
)
@click.option(
    "--reward-transform",
    "reward_transforms",
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Transform of every reward, applied in order.",
)
@click.option("--judge", help="Mark preference pairs by a judge that knows errors.")
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="NAME",
    help="Transform behind every reward.  [default: permute, sequence-mean; class-mean if both "
    "sides are marked]",
)
@click.option(
    "--step-value",
    type=click.Choice(("mean", "sum", "min", "last")),
    default="mean",
    show_default=True,
    help="How the tokens of a step become its value.",
)
@click.option(
    "--step-separator",
    default="\n",
    help="Between steps that a row has as a list.  [default: newline]",
)
@click.option("--max-length", type=click.IntRange(min=8), default=2048, show_default=True)
@click.option("--dtype", type=click.Choice(("float32", "bfloat16", "float16")), default="float32")
@click.option("--beta", type=float, default=0.1, show_default=True, help="Of the run to come.")
@click.option("--limit", type=click.IntRange(min=1), help="The first N rows.")
@click.option(
    "--on-bad-row", type=click.Choice(("error", "skip")), default="error", show_default=True
)
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--resamples", type=click.IntRange(min=0), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of folds and resamples.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write bench.md, bench.html, bench.svg and results.json there.",
)
@click.option("--overwrite", is_flag=True, help="Replace the results that the folder holds.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    help="results.json (or its folder) of an earlier bench, shown beside this one.",
)
@json_option
@click.pass_obj
def reward(session: Session, /, **options: Any) -> None:
    """Measure how well token rewards find marked errors, before any training.

    Rows: first_error_step, mistake_index (BIG-Bench Mistake), ProcessBench, PRMBench, completions
    with labels (TRL), error_spans; or pairs with --judge. Beside every reward: the same permuted,
    its mean per response, position, noise. docs/bench.md explains the measures.

    \b
      tgdpo bench reward confidence playground-oracle --dataset playground
      tgdpo bench reward confidence dpo=induced --model MODEL --dataset marks.jsonl \\
          --reward-arg dpo.model=runs/dpo --output-dir runs/bench
    """
    request = _request(session, options)
    quiet_libraries()
    from tgdpo_core.bench.results import read_results
    from tgdpo_core.bench.tables import compared

    old = read_results(options["compare"]) if options["compare"] else None
    folder = options["output_dir"]
    _require_free(folder, overwrite=options["overwrite"])
    from tgdpo_core.bench.run import bench

    results = bench(request, session.plugins)
    warnings, more = compared(results, old) if old else ([], None)
    tables = [more] if more else []
    if folder:
        from tgdpo_core.bench.report import write_report

        write_report(results, folder, tables)
    if options["as_json"]:
        print_json({**results.as_dict(), **({"folder": str(folder)} if folder else {})})
        return
    _print(results, tables, warnings)
    if folder:
        echo(f"\n{folder}: bench.md, bench.html, bench.svg, results.json")


def _request(session: Session, options: dict[str, Any]) -> "BenchRequest":
    from tgdpo_core.bench.request import BenchRequest
    from tgdpo_core.marks.reading import MarkedSource

    path = options["dataset"]
    default_split = "test" if session.plugins.has("dataset", path) else "train"
    return BenchRequest(
        rewards=_entries(options),
        source=MarkedSource(
            path,
            split=options["split"] or default_split,
            judge=options["judge"],
            separator=options["step_separator"],
            limit=options["limit"],
            on_bad_row=options["on_bad_row"],
        ),
        model=options["model"],
        reference=options["reference"],
        dtype=options["dtype"],
        max_length=options["max_length"],
        beta=options["beta"],
        controls=options["controls"] or None,
        step_value=options["step_value"],
        num_folds=options["folds"],
        num_resamples=options["resamples"],
        seed=options["seed"],
    )


def _entries(options: dict[str, Any]) -> "list[RewardEntry]":
    from tgdpo_core.bench.request import RewardEntry

    named = [text.partition("=") for text in options["rewards"]]
    names = {label: name or label for label, _, name in named}
    args: dict[str, dict[str, str]] = {label: {} for label in names}
    for text in options["reward_args"]:
        key, value = key_value(text, "--reward-arg")
        label, dot, option = key.rpartition(".")
        if not dot and len(names) > 1:
            listed = " or ".join(f"{each}.{key}" for each in names)
            raise click.UsageError(f"--reward-arg {key}: several rewards; write {listed}.")
        if dot and label not in names:
            raise click.UsageError(
                f"--reward-arg {key}: no reward '{label}' here. There are: {', '.join(names)}."
            )
        args[label or next(iter(names))][option] = value
    transforms = [transform_entry(text) for text in options["reward_transforms"]]
    return [RewardEntry(label, name or label, args[label], transforms) for label, _, name in named]


def _require_free(folder: Path | None, *, overwrite: bool) -> None:
    from tgdpo_core.bench.report import RESULTS
    from tgdpo_core.errors import UsageError

    if folder and (folder / RESULTS).exists() and not overwrite:
        raise UsageError(
            f"{folder} holds the results of a bench. Give another --output-dir, or --overwrite."
        )


def _print(results: "BenchResults", more: "list[Table]", warnings: list[str]) -> None:
    from tgdpo_core.bench.tables import findings, tables
    from tgdpo_core.bench.wording import data_sentences, method_sentences, setup_sentences

    for sentence in (*data_sentences(results.data), *setup_sentences(results.data)):
        echo(sentence)
    for each in (*tables(results), *more):
        echo(f"\n{each.title}")
        table(each.columns, each.rows)
    echo("")
    for sentence in findings(results):
        echo(sentence)
    echo("")
    for sentence in method_sentences(results):
        echo(sentence)
    for warning in warnings:
        echo(f"Warning: {warning}")
