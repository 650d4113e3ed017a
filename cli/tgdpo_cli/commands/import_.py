"""``tgdpo import``: judgements of public benchmarks' own judges, in our tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.output import echo, json_option, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.evaluation.verdicts import Verdict

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import")
@click.argument("benchmark", type=click.Choice(["alpaca-eval", "mt-bench", "arena-hard"]))
@click.argument("files", nargs=-1, required=True, type=_FILES)
@click.option("--output-dir", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--prompts", type=_FILES, help="Questions of mt-bench, with their categories, or arena-hard."
)
@click.option(
    "--answers",
    "answer_files",
    multiple=True,
    type=_FILES,
    help="model_answer/MODEL.jsonl: texts that judgements lack (not alpaca-eval; repeatable).",
)
@click.option(
    "--baseline",
    help="mt-bench pairs: compare with this model alone; arena-hard v0.1: the model that rows do "
    "not name (gpt-4-0314).",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier import.")
@json_option
def command(
    benchmark: Any,
    files: Sequence[Path],
    output_dir: Path,
    prompts: Path | None,
    answer_files: Sequence[Path],
    baseline: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Read the judgement FILES of a public benchmark.

    alpaca-eval: annotations.json; mt-bench: JUDGE_single.jsonl and JUDGE_pair.jsonl; arena-hard:
    model_judgment/JUDGE/MODEL.jsonl of v0.1 or v2. The tool's own numbers are computed again by its
    rules; verdicts of every prompt are kept in --output-dir: docs/benchmarks-export.md.
    """
    from tgdpo_core.exchange import import_folder
    from tgdpo_core.exchange.baselines import require_baseline
    from tgdpo_core.exchange.judged_texts import texts_of
    from tgdpo_core.exchange.lacking_texts import lacking_sentences, lacking_texts
    from tgdpo_core.exchange.questions import read_questions
    from tgdpo_core.exchange.verdict_of_judgements import verdicts_of

    _refuse_unused(benchmark, prompts, answer_files, baseline)
    import_folder.require_new(output_dir, overwrite=overwrite)
    judgements = import_folder.read_of(benchmark, files, baseline=baseline)
    require_baseline(benchmark, judgements, baseline)
    questions = read_questions(prompts, benchmark) if prompts else None
    texts = texts_of(questions, answer_files)
    lacking = lacking_texts([*judgements.compared, *judgements.graded], texts)
    judgements = replace(
        judgements,
        compared=texts.categorised(judgements.compared),
        graded=texts.categorised(judgements.graded),
    )
    headlines = import_folder.headlines_of(benchmark, judgements, baseline=baseline)
    settings = {"benchmark": benchmark, "files": [str(path) for path in files]}
    verdicts = verdicts_of(
        judgements,
        texts,
        baseline=baseline if benchmark == "mt-bench" else None,
        settings=settings,
    )
    summary = import_folder.summary_of(
        judgements, headlines, verdicts, lacking=lacking, settings=settings
    )
    import_folder.write_import(output_dir, summary, verdicts)
    if as_json:
        print_json({**summary, "folder": str(output_dir)})
        return
    _show(summary, output_dir)
    for sentence in lacking_sentences(lacking):
        echo(f"  {sentence}")
    for verdict in verdicts:
        _show_verdict(verdict)


def _refuse_unused(
    benchmark: str, prompts: Path | None, answer_files: Sequence[Path], baseline: str | None
) -> None:
    """Raise ``UsageError`` for an option that would change nothing."""
    if benchmark != "alpaca-eval":
        return
    if baseline:
        raise click.UsageError("--baseline: the rows of alpaca-eval name it (generator_1).")
    for option, given in (("--prompts", prompts), ("--answers", answer_files)):
        if given:
            raise click.UsageError(f"{option}: the rows of alpaca-eval hold the texts themselves.")


def _show(summary: Mapping[str, Any], output_dir: Path) -> None:
    """Print the tool's own numbers, then what could not be read."""
    by_names: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for each in summary["headlines"]:
        by_names.setdefault(tuple(each["values"]), []).append(each)
    for names, rows in by_names.items():
        table(
            ("model", *names, "of"),
            [
                (
                    each["model"],
                    *(_number(value) for value in each["values"].values()),
                    each["group"],
                )
                for each in rows
            ],
        )
        echo()
    echo(f"{summary['read']} of {summary['rows']} judgements read; {output_dir}")
    for kind, count in (summary["not_read"] | summary["noted"]).items():
        places = ", ".join(summary["places"][kind])
        echo(f"  {count}: {kind} ({places}{', ...' if count > 3 else ''})")
    if summary["repeated"]:
        echo(
            f"  {summary['repeated']} are of what the same judge was asked before; all are counted."
        )


def _show_verdict(verdict: "Verdict") -> None:
    """Print our own tables of the same judgements: intervals over questions, both orders."""
    from tgdpo_core.evaluation.verdict_sentences import verdict_sentences
    from tgdpo_core.evaluation.verdict_summary import summarize
    from tgdpo_core.evaluation.verdict_tables import verdict_tables

    numbers = summarize(verdict)
    for each in verdict_tables(numbers):
        echo(f"\n{each.title}")
        table(each.columns, each.rows)
        echo(each.caption)
    for sentence in verdict_sentences(numbers):
        echo(sentence)


def _number(value: float) -> str:
    return str(int(value)) if value == value // 1 and abs(value) >= 1 else f"{value:.3f}"
