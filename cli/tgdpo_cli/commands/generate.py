"""``tgdpo generate``: answers of a model to prompts, as a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tgdpo_cli.asked_models import model_path
from tgdpo_cli.evaluation_rows import evaluation_rows, row_options
from tgdpo_cli.generation_options import generation, generation_options
from tgdpo_cli.main import Session
from tgdpo_cli.option_sets import trust_options
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries


@click.command("generate")
@click.argument("model")
@click.option(
    "--prompts",
    "--dataset",
    "dataset",
    required=True,
    help="Prompts or pairs: Hub id, file, folder, or registered name.",
)
@click.option("--split", help="Split of the data set (default: test; all rows of a file).")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first N rows only.")
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of answers, JSON lines: docs/generation.md.",
)
@row_options
@generation_options
@trust_options
@json_option
@click.pass_obj
def command(
    session: Session,
    /,
    model: str,
    dataset: str,
    split: str | None,
    limit: int | None,
    output: Path,
    columns: Sequence[str],
    row_format: str,
    template_kwargs: Sequence[str],
    special_tokens: str,
    on_bad_row: Any,
    trust_remote_code: bool,
    allow_pickle: bool,
    as_json: bool,
    **generating: Any,
) -> None:
    """Write the answers of MODEL (run folder, folder, Hub id, registered name) to prompts.

    Every answer is kept in the store as it comes and never drawn twice: the same command goes on
    where it was stopped. Columns of the rows go along.

    \b
      tgdpo generate MODEL --prompts prompts.jsonl --samples 5 --temperature 0.8 --top-p 0.95 \\
                     --output answers.jsonl
    """
    quiet_libraries()
    from tgdpo_core.data.sources import default_split
    from tgdpo_core.evaluation.endings import endings
    from tgdpo_core.generation.answers import write_answers
    from tgdpo_core.generation.engines import open_engine
    from tgdpo_core.models.loading import Trust

    if output.exists() and Path(dataset).exists() and output.samefile(dataset):
        raise click.UsageError(f"--output {output} is the file of the prompts: name another one.")
    path = model_path(model, session)
    drawing = generation(generating, [path], Trust(trust_remote_code, allow_pickle))
    source = evaluation_rows(
        dataset,
        session.plugins,
        columns=columns,
        row_format=row_format,
        template_kwargs=template_kwargs,
        special_tokens=special_tokens,
    ).of_prompts()
    split = split or default_split(dataset, session.plugins, "test")
    rows = source.read(split, limit, on_bad_row)
    answers = drawing.answers(open_engine(path, drawing.engine), rows, "answers")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_answers(output, answers.answered)
    ends = endings(each for item in answers.answered for each in item.answers)
    number = sum(len(item.answers) for item in answers.answered)
    said = {
        "file": str(output),
        "prompts": len(rows),
        "answers": number,
        "kept_before": answers.num_kept,
        "finished": ends.finished,
        "tokens": ends.tokens,
        **drawing.document,
    }
    if as_json:
        print_json(said)
        return
    echo(
        f"{output}: {number} answers to {len(rows)} prompts; {ends.finished:.3f} of them finished, "
        f"{ends.tokens:.1f} tokens on average."
    )
    if answers.num_kept:
        echo(f"{answers.num_kept} answers were in the store.")
