"""``tgdpo pairs``: answers of models, a judge, and a rule make a preference data set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.chosen_judges import ChosenJudge, chosen_judges, counted, set_up
from tgdpo_cli.config_option import config_option
from tgdpo_cli.evaluation_rows import evaluation_rows, row_options
from tgdpo_cli.generation_options import Generating, generation, generation_options
from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.option_sets import trust_of, trust_options
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries
from tgdpo_cli.pairs_options import check_pairs_options, ranking_options

if TYPE_CHECKING:
    from tgdpo_core.data.pairs import PreferencePair
    from tgdpo_core.generation.answers import AnsweredPrompt
    from tgdpo_core.pairing.folder import PairsFolder
    from tgdpo_core.pairing.gathering import Gathered
    from tgdpo_core.pairing.making import MadePairs


@click.command("pairs", context_settings={"default_map": {"samples": 4}})
@config_option
@click.option("--dataset", help="Prompts: Hub id, file, folder, or registered name.")
@click.option("--split", help="Split of the data set (default: train; all rows of a file).")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first N rows only.")
@click.option("--model", "models", multiple=True, help="Answers the prompts. Repeatable.")
@click.option(
    "--answers",
    "answer_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Answers that are there already, in place of --model. Repeatable: several models.",
)
@generation_options
@ranking_options
@row_options
@click.option("--output", "--output-dir", "output", type=click.Path(path_type=Path), required=True)
@click.option(
    "--write",
    "file_form",
    type=click.Choice(("jsonl", "parquet")),
    default="jsonl",
    show_default=True,
)
@click.option("--name", help="Of the data set in its card.  [default: that of the folder]")
@click.option("--license", "license_", help="Of the data set, as the Hub names it.")
@click.option("--overwrite", is_flag=True, help="Replace pairs made with other settings.")
@trust_options
@json_option
@click.pass_obj
def command(session: Session, /, **options: Any) -> None:
    """Make preference pairs of a model's own answers.

    \b
      tgdpo pairs --dataset prompts.jsonl --model MODEL --judge J --output data/pairs
      tgdpo pairs --answers a.jsonl --answers b.jsonl --judge J --output data/pairs
      tgdpo train --dataset data/pairs ...

    Rows need a prompt only. Answers and scores are kept: stopped, the same command goes on; asked
    again with another rule and --overwrite, it neither draws nor judges anew. What could not be
    compared (unfinished, empty, equal answers, ties, no verdict) is counted by name, in the data
    card too. A judge of comparisons is asked about every two answers to a prompt in both orders.
    """
    quiet_libraries()
    check_pairs_options(options)
    from tgdpo_core.pairing.asking import asks
    from tgdpo_core.pairing.folder import PairsFolder
    from tgdpo_core.pairing.making import make_pairs
    from tgdpo_core.pairing.readable import require_trainable
    from tgdpo_core.pairing.rules import Rule
    from tgdpo_core.pairing.wording import require_pairs, summary

    rule = Rule(
        options["rule"],
        min_gap=options["min_gap"],
        threshold=options["threshold"],
        max_pairs=options["max_pairs"],
        seed=options["seed"],
    )
    judge = _judge(session, options)
    options["generating"] = _generating(options)
    folder = PairsFolder(options["output"])
    settings = _settings(options, judge)
    folder.begin(settings, overwrite=options["overwrite"])
    for path in folder.unread_scores:
        echo(f"{path} is not read: what judges say lies in the store now. Remove it.", err=True)
    if options["models"]:
        # A judge that cannot be set up is refused before hours of answers; then its memory is
        # theirs.
        with set_up([judge]):
            pass
    gathered = _gather(session, options, folder)
    with set_up([judge], together=options["judge_batch"]) as (asked,):
        questions = list(gathered.questions.values())
        only_finished = not options["keep_unfinished"]
        made = make_pairs(questions, asks(asked), rule, only_finished=only_finished)
        said = counted(asked, judge.instance.record())
    require_pairs(made, gathered.notes)
    require_trainable(made.rows)
    lines = summary(made, gathered.notes)
    card = _card(options, settings, gathered, made, lines)
    target = folder.write(made.rows, card, options["file_form"], settings)
    if options["as_json"]:
        print_json({**_as_json(target, gathered, made), "judged": asked.counts.as_dict()})
        return
    for line in (*lines, said):
        echo(line)
    echo(f"{target}: train on it with tgdpo train --dataset {folder.path}")


# -- what is asked for ----------------------------------------------------------------------------


def _judge(session: Session, options: Mapping[str, Any]) -> ChosenJudge:
    from tgdpo_core.pairing.asking import require_judge_of_answers

    (judge,) = chosen_judges(session, [options["judge"]], options["judge_args"])
    require_judge_of_answers(judge.name, judge.instance)
    return judge


def _settings(options: Mapping[str, Any], judge: ChosenJudge) -> dict[str, Any]:
    """Return JSON of what decides the pairs; what does not apply is left out."""
    kept = ["dataset", "split", "limit", "models", "rule", "min_gap", "threshold", "max_pairs"]
    kept += ["keep_unfinished", "with_given", "seed", "file_form", "columns", "row_format"]
    kept += ["template_kwargs", "special_tokens", "on_bad_row", "name", "license_"]
    found = {name.strip("_"): options[name] for name in kept}
    answers = [str(path) for path in options["answer_files"]]
    listed = {
        key: list(value) if isinstance(value, tuple) else value for key, value in found.items()
    }
    drawn = {"generation": dict(options["generating"].document)} if options["models"] else {}
    judged = {key: value for key, value in judge.identity.items() if key != "files"}
    return {**listed, **drawn, "answers": answers, "judge": judged}


# -- answers --------------------------------------------------------------------------------------


def _gather(session: Session, options: Mapping[str, Any], folder: "PairsFolder") -> "Gathered":
    """Return all answers by prompt."""
    from tgdpo_core.generation.answers import read_answers
    from tgdpo_core.pairing.gathering import Gathered
    from tgdpo_core.pairing.readable import require_prompts

    gathered = Gathered()
    rows = _rows(session, options) if options["models"] or options["with_given"] else []
    files = options["answer_files"]
    for name, path in zip(short_names([str(path) for path in files]), files, strict=True):
        given = list(read_answers(path))
        require_prompts(path, given)
        gathered.add_model(name.removesuffix(".jsonl"), given)
    for name, model in zip(short_names(options["models"]), options["models"], strict=True):
        answered = _answers(session, options["generating"], name, model, rows)
        folder.write_answers(name, answered)
        gathered.add_model(name, answered)
    if options["with_given"]:
        gathered.add_given(rows)
    return gathered


def _rows(session: Session, options: Mapping[str, Any]) -> "list[PreferencePair]":
    """Return the prompts in the form in which they are asked, and trained on."""
    from tgdpo_core.data.sources import default_split
    from tgdpo_core.generation.prompts import formed

    source = evaluation_rows(
        options["dataset"],
        session.plugins,
        columns=options["columns"],
        row_format=options["row_format"],
        template_kwargs=options["template_kwargs"],
        special_tokens=options["special_tokens"],
    )
    if not options["with_given"]:
        source = source.of_prompts()
    split = options["split"] or default_split(options["dataset"], session.plugins, "train")
    rows = source.read(split, options["limit"], options["on_bad_row"])
    sampling = options["generating"].sampling
    return formed(rows, sampling)


def _generating(options: Mapping[str, Any]) -> Generating:

    trust = trust_of(options)
    return generation(options, options["models"], trust)


def _answers(
    session: Session, generating: Generating, name: str, model: str, rows: Sequence[Any]
) -> "Sequence[AnsweredPrompt]":
    """Return what a model answers; the store holds what it answered before."""
    from tgdpo_core.generation.engines import open_engine
    from tgdpo_core.preparation.plan import registered_model

    engine = open_engine(registered_model(model, session.plugins) or model, generating.engine)
    # The rows have their form already.
    sampling = replace(generating.sampling, system=None, form="auto")
    return replace(generating, sampling=sampling).answers(engine, rows, name).answered


# -- pairs ----------------------------------------------------------------------------------------


def _card(
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    gathered: "Gathered",
    made: "MadePairs",
    lines: Sequence[str],
) -> str:
    from importlib.metadata import version

    from tgdpo_core.pairing.card import CardFacts, data_card

    facts = CardFacts(
        name=options["name"] or options["output"].resolve().name,
        license=options["license_"],
        settings={key: value for key, value in settings.items() if value not in (None, [], False)},
        file=f"train.{options['file_form']}",
        version=version("tgdpo"),
    )
    return data_card(facts, made, lines)


def _as_json(target: Path, gathered: "Gathered", made: "MadePairs") -> dict[str, Any]:
    return {
        "file": str(target),
        "prompts": made.num_prompts,
        "answers": made.num_answers,
        "pairs": len(made.rows),
        "answers_left_out": dict(made.answers_left_out),
        "prompts_left_out": dict(made.prompts_left_out),
        "not_used": dict(gathered.notes),
        "finished": dict(made.finished),
        "mean_gap": sum(made.gaps) / len(made.gaps),
    }
