"""``tgdpo evaluate --prompts``: the answers of several models judged side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.asked_models import model_path
from tgdpo_cli.chosen_judges import ChosenJudge, counted, set_up
from tgdpo_cli.generation_options import Generating
from tgdpo_cli.main import Session
from tgdpo_cli.output import echo, print_json, table
from tgdpo_cli.verdict_options import answers_file

if TYPE_CHECKING:
    from tgdpo_core.evaluation.length_control import Gamed
    from tgdpo_core.evaluation.verdict_making import Rules
    from tgdpo_core.evaluation.verdict_numbers import VerdictSummary
    from tgdpo_core.generation.answers import AnsweredPrompt


@dataclass(frozen=True)
class VerdictRequest:
    """What is asked for.

    Attributes:
        models: by the names that tables use.
        judges: who judges.
        prompts: rows that are answered; None: files of answers bring them.
        drawing: how answers are drawn.
        reference: path of a model for the KL, or None.
        rules: how answers are judged.
        gamed: AlpacaEval's regularisation of length-controlled win rates.
        output: folder of the files.
        settings: further JSON for the record.
        notes: what is to be known of the prompts, in sentences.
    """

    models: Mapping[str, str]
    judges: Sequence[ChosenJudge]
    prompts: Sequence[Any] | None
    drawing: Generating
    reference: str | None
    rules: "Rules"
    gamed: "Gamed | None"
    output: Path
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()


def run_verdict(session: Session, request: VerdictRequest, *, as_json: bool) -> None:
    """Answer, judge, write the files and print the tables."""
    from dataclasses import replace

    from tgdpo_core.evaluation.contest import contest
    from tgdpo_core.evaluation.verdict_files import keep_in_run, write_verdict
    from tgdpo_core.evaluation.verdict_making import judge_all
    from tgdpo_core.evaluation.verdict_page import PAGE, verdict_page
    from tgdpo_core.evaluation.verdict_summary import require_difficulties, summarize
    from tgdpo_core.store.folder import write_whole
    from tgdpo_core.training.run_folder import RunFolder

    with set_up(request.judges) as judges:
        answered, kl, notes = _answers(session, request)
        found = contest(answered, kl)
        if request.gamed is not None:
            require_difficulties(found.prompts)
        verdict = judge_all(found, judges, request.rules)
        records = {judge.named.name: dict(judge.judge.record()) for judge in judges}
    costs = [counted(judge, records[judge.named.name]) for judge in judges]
    notes = [*request.notes, *notes, *found.notes, *costs]
    settings = {
        **request.settings,
        "models": dict(request.models),
        "notes": notes,
        "judged": {judge.named.name: judge.counts.as_dict() for judge in judges},
        "judge_records": records,
    }
    verdict = replace(verdict, settings=settings)
    summary = summarize(verdict, gamed=request.gamed)
    write_verdict(request.output, verdict, summary)
    write_whole(request.output / PAGE, verdict_page(verdict, summary, notes))
    _write_answers(request.output / "answers", answered)
    for name, model in request.models.items():
        if RunFolder(model).read():
            keep_in_run(Path(model), verdict, summary, name, request.output)
    if as_json:
        print_json({**summary.as_dict(), "notes": notes, "folder": str(request.output)})
    else:
        _show(summary, notes, request.output)


def _answers(
    session: Session, request: VerdictRequest
) -> "tuple[dict[str, Sequence[AnsweredPrompt]], dict[str, Any], list[str]]":
    """Return answers by model, their KL where it was measured, and what is to be known."""
    answered: dict[str, Any] = {}
    kl: dict[str, Any] = {}
    notes: list[str] = []
    for name, model in request.models.items():
        if (file := answers_file(model)) is not None:
            answered[name] = _from_file(file, name, request.prompts, notes)
            continue
        answered[name], of_model = _drawn(model_path(model, session), name, request)
        if of_model is not None:
            kl[name] = of_model
    return answered, kl, notes


def _drawn(path: str, name: str, request: VerdictRequest) -> tuple[Any, Any]:
    """Return a model's answers, kept in the store, and their KL."""
    from tgdpo_core.generation.engines import open_engine

    if request.prompts is None:
        raise click.UsageError(f"{path} has to answer something: give --prompts.")
    settings = request.drawing.engine
    engine = open_engine(path, settings)
    answers = request.drawing.answers(engine, request.prompts, name)
    if not request.reference:
        return answers.answered, None
    from tgdpo_core.preparation.divergence import kl_of_answers

    return answers.answered, kl_of_answers(engine, answers, request.reference, trust=settings.trust)


def _from_file(
    file: Path, name: str, prompts: Sequence[Any] | None, notes: list[str]
) -> "list[AnsweredPrompt]":
    """Return the answers of a file, of the prompts that are asked for; note what it lacks."""
    from dataclasses import replace

    from tgdpo_core.errors import DataError
    from tgdpo_core.generation.answers import question_key, read_answers
    from tgdpo_core.generation.prompts import columns_of

    kept = list(read_answers(file))
    if not kept:
        raise DataError(f"{file} has no answers.")
    if prompts is None:
        return kept
    rows = [(question_key(row.prompt, columns_of(row)), row) for row in prompts]
    wanted = {key for key, _ in rows}
    asked = [item for item in kept if item.key in wanted]
    found = {item.key: item for item in reversed(asked)}
    if lacking := len(wanted) - len(found):
        notes.append(f"{name}: {lacking} of {len(wanted)} prompts are not in {file}.")
    if repeated := len(asked) - len(found):
        notes.append(f"{name}: {repeated} lines of {file} left out: their prompt was there before.")
    if not found:
        raise DataError(f"{file}: no prompt of --prompts is there, to the character.")
    return [
        replace(found[key], columns={**found[key].columns, **columns_of(row)})
        for key, row in rows
        if key in found
    ]


def _write_answers(folder: Path, answered: "Mapping[str, Sequence[AnsweredPrompt]]") -> None:
    """Write the answers of each model, so that they can be judged again without it."""
    from tgdpo_core.generation.answers import write_answers

    folder.mkdir(parents=True, exist_ok=True)
    for name, items in answered.items():
        write_answers(folder / f"{name.replace('/', '--')}.jsonl", items)


def _show(summary: "VerdictSummary", notes: Sequence[str], output: Path) -> None:
    """Print tables and sentences."""
    from tgdpo_core.evaluation.verdict_page import PAGE
    from tgdpo_core.evaluation.verdict_sentences import verdict_sentences
    from tgdpo_core.evaluation.verdict_tables import verdict_tables

    for each in verdict_tables(summary):
        echo(f"{each.title}, {summary.num_prompts} prompts")
        table(each.columns, each.rows)
        echo(f"{each.caption}\n" if each.caption else "")
    for sentence in (*notes, *verdict_sentences(summary)):
        echo(sentence)
    echo(f"The answers side by side: {output / PAGE}")
