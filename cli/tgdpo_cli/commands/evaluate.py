"""``tgdpo evaluate``: a verdict on models side by side, or one model after the other."""

from typing import Any

import click

from tgdpo_cli import completion
from tgdpo_cli.evaluate_modes import EvaluateCommand
from tgdpo_cli.evaluation_rows import row_options
from tgdpo_cli.generation_options import generation_options
from tgdpo_cli.main import Session
from tgdpo_cli.option_sets import trust_options
from tgdpo_cli.output import json_option, quiet_libraries
from tgdpo_cli.verdict_options import verdict_options


@click.command("evaluate", cls=EvaluateCommand)
@click.argument("models", nargs=-1, required=True, shell_complete=completion.models)
@click.option(
    "--dataset",
    help="Pairs or prompts: Hub id, file, folder, or registered name.",
    shell_complete=completion.plugin_names("dataset", files=True),
)
@click.option("--prompts", help="The same, for a verdict: the models judged side by side.")
@click.option("--split", help="Split of the data set (default: test; all rows of a file).")
@click.option("--limit", type=click.IntRange(min=1), help="Use the first N rows only.")
@click.option(
    "--best-of",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Choose the best of the models whose names match, on --choose-split. Repeatable.",
)
@click.option("--choose-split", help="Split to choose on; --split is what is reported.")
@click.option(
    "--judge",
    "judges",
    required=True,
    multiple=True,
    metavar="[OWN=]NAME",
    shell_complete=completion.plugin_names("judge"),
    help="Registered judge: tgdpo plugins list. Repeatable; OWN is what tables call it.",
)
@click.option(
    "--judge-arg",
    "judge_args",
    multiple=True,
    metavar="[JUDGE.]KEY=VALUE",
    shell_complete=completion.option_keys("judge", "judges"),
    help="Option of the judge.",
)
@click.option(
    "--max-length",
    type=click.IntRange(min=2),
    default=2048,
    show_default=True,
    help="Judges of pairs: most tokens of prompt and response, as data.max_length.",
)
@row_options
@trust_options
@generation_options
@verdict_options
@click.option(
    "--unfinished",
    type=click.Choice(["score", "zero", "skip"]),
    default="score",
    show_default=True,
    help="Answers cut at --max-new-tokens: scored as they are, counted as 0, or left out.",
)
@click.option("--kl", is_flag=True, help="Also KL(model || --reference) of the random answers.")
@click.option("--reference", metavar="MODEL", help="What --kl is measured against.")
@json_option
@click.pass_obj
def command(session: Session, /, **values: Any) -> None:
    """Judge MODELS (run folders, folders, Hub ids, registered names, files of answers).

    Every prompt is answered --samples times at random, or with --greedy --samples 0 once greedily.
    Answers are kept in the store and never drawn twice, and so is what judges say.

    \b
      tgdpo evaluate base runs/dpo runs/mine --prompts P --judge J

    is a verdict on the models side by side: scores and their differences to the --baseline, or win
    rates of a judge that compares (in both orders; length-controlled too), all with intervals, and
    verdict.html with the answers. With two judges, how well they agree.

    \b
      tgdpo evaluate runs/dpo-* runs/mine-* --dataset D --judge J \\
                     --choose-split validation --best-of 'dpo-*' --best-of 'mine-*'

    judges one model after the other; a judge that reads pairs is given the log-probabilities of
    their responses, and nothing is generated. It chooses settings fairly: the best model of each
    group is found on other rows (sampled score, else greedy; --limit of them at most) than those it
    is reported on. Of a run folder, loss and displacement at the end of training are shown too, and
    what was judged is kept in its evaluation/JUDGE.
    """
    quiet_libraries()
    from tgdpo_cli.chosen_judges import chosen_judges
    from tgdpo_cli.one_by_one import evaluate_one_by_one
    from tgdpo_cli.verdict_options import is_verdict
    from tgdpo_cli.verdict_request import verdict_request
    from tgdpo_cli.verdict_run import run_verdict

    if bool(values["reference"]) != values["kl"]:
        raise click.UsageError("--kl and --reference go together.")
    if values["dataset"] and values["prompts"]:
        raise click.UsageError("--prompts and --dataset are two ways to name rows: give one.")
    judges = chosen_judges(session, values["judges"], values["judge_args"])
    if is_verdict(values, judges):
        run_verdict(session, verdict_request(session, values, judges), as_json=values["as_json"])
    else:
        evaluate_one_by_one(session, values, judges[0])
