"""What ``tgdpo pairs`` is asked for: judge and rule, and what contradicts what."""

from collections.abc import Mapping
from typing import Any

import click

from tgdpo_cli.generation_options import NAMES
from tgdpo_cli.option_sets import option_set, refuse_given

ranking_options = option_set(
    [
        click.option("--judge", required=True, help="Registered judge: tgdpo plugins list."),
        click.option(
            "--judge-arg",
            "judge_args",
            multiple=True,
            metavar="KEY=VALUE",
            help="Option of the judge.",
        ),
        click.option(
            "--judge-batch",
            type=click.IntRange(min=1),
            default=64,
            show_default=True,
            help="Answers, or comparisons, that it is asked about at once.",
        ),
        click.option(
            "--rule",
            type=click.Choice(("best-worst", "random-two", "threshold", "margin")),
            default="best-worst",
            show_default=True,
            help="Which answers become pairs.",
        ),
        click.option(
            "--min-gap",
            type=float,
            default=0.0,
            help="Least difference of the two scores of a pair.",
        ),
        click.option(
            "--threshold", type=float, help="Rule threshold: least score of a chosen answer."
        ),
        click.option(
            "--max-pairs", type=click.IntRange(min=1), help="Rule margin: most pairs of a prompt."
        ),
        click.option(
            "--keep-unfinished",
            is_flag=True,
            help="Compare answers that were cut at the most tokens, too.",
        ),
        click.option(
            "--with-given",
            is_flag=True,
            help="Chosen and rejected of the rows are answers like the others.",
        ),
    ]
)
"""Whose scores rank the answers, and which of them become pairs."""


def check_pairs_options(options: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other or would change nothing."""
    if bool(options["models"]) == bool(options["answer_files"]):
        raise click.UsageError("Give --model or --answers: who answers, or what was answered.")
    if options["models"] and not options["dataset"]:
        raise click.UsageError("--model needs --dataset: the prompts.")
    if options["with_given"] and not options["dataset"]:
        raise click.UsageError("--with-given needs --dataset: the rows whose responses are meant.")
    if options["answer_files"]:
        prompts = () if options["with_given"] else ("dataset", "split", "limit")
        why = "--answers are there already, with their prompts, it would do nothing."
        refuse_given((*prompts, *NAMES, "dtype"), why)
