"""``tgdpo evaluate``: generate and judge, or judge log-probabilities of pairs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.asked_models import Asked, evaluated, model_path
from tgdpo_cli.evaluation_rows import evaluation_rows, row_options
from tgdpo_cli.evaluation_table import show_evaluations
from tgdpo_cli.generation_options import NAMES, generation, generation_options
from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.output import print_json, quiet_libraries

if TYPE_CHECKING:
    pass

# Options of one sort of judge: the others would ignore them.
_OF_ANSWERS = (*NAMES, "unfinished", "kl", "reference")
_OF_PAIRS = ("max_length",)


@click.command("evaluate")
@click.argument("models", nargs=-1, required=True)
@click.option(
    "--dataset",
    "--prompts",
    "dataset",
    required=True,
    help="Prompts or pairs: Hub id, file, folder, or registered name.",
)
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
@click.option("--judge", required=True, help="Registered judge: tgdpo plugins list.")
@click.option(
    "--judge-arg", "judge_args", multiple=True, metavar="KEY=VALUE", help="Option of the judge."
)
@click.option(
    "--max-length",
    type=click.IntRange(min=2),
    default=2048,
    show_default=True,
    help="Judges of pairs: most tokens of prompt and response, as data.max_length.",
)
@row_options
@click.option("--trust-remote-code", is_flag=True, help="Run code that model repositories bring.")
@click.option("--allow-pickle", is_flag=True, help="Read weights that are not safetensors.")
@generation_options
@click.option(
    "--unfinished",
    type=click.Choice(["score", "zero", "skip"]),
    default="score",
    show_default=True,
    help="Answers cut at --max-new-tokens: scored as they are, counted as 0, or left out.",
)
@click.option("--kl", is_flag=True, help="Also KL(model || --reference) of the random answers.")
@click.option("--reference", metavar="MODEL", help="What --kl is measured against.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    session: Session,
    /,
    models: Sequence[str],
    dataset: str,
    split: str | None,
    limit: int | None,
    patterns: Sequence[str],
    choose_split: str | None,
    judge: str,
    judge_args: Sequence[str],
    max_length: int,
    columns: Sequence[str],
    row_format: str,
    template_kwargs: Sequence[str],
    special_tokens: str,
    on_bad_row: Any,
    trust_remote_code: bool,
    allow_pickle: bool,
    unfinished: Any,
    kl: bool,
    reference: str | None,
    as_json: bool,
    **generating: Any,
) -> None:
    """Judge MODELS (run folders, folders, Hub ids, registered names).

    For most judges every prompt is answered --samples times at random, and with --greedy once
    greedily; rows need no responses then. Answers are kept in the store and never drawn twice. A
    judge that reads pairs is given the log-probabilities of their responses instead; nothing is
    generated. Of a run folder, loss and displacement at the end of training are shown too, and what
    was judged is kept in its evaluation/JUDGE.

    \b
      tgdpo evaluate runs/dpo-* runs/mine-* --dataset D --judge J \\
                     --choose-split validation --best-of 'dpo-*' --best-of 'mine-*'

    chooses settings fairly: the best model of each group is found on other rows (sampled score,
    else greedy; --limit of them at most) than those it is reported on.
    """
    quiet_libraries()
    from tgdpo_cli.recipe_options import key_value
    from tgdpo_core.data.sources import default_split
    from tgdpo_core.models.loading import Trust
    from tgdpo_core.scoring.guard import call_plugin
    from tgdpo_core.scoring.sources import validate_options

    arguments = dict(key_value(text, "--judge-arg") for text in judge_args)
    names = short_names(models)
    groups = _groups(names, patterns, choose_split)
    found = session.plugins.find("judge", judge)
    instance = found.create(arguments)
    validate_options(str(found), instance.validate)
    reads_pairs = instance.reads == "pairs"
    _refuse_unused(_OF_ANSWERS if reads_pairs else _OF_PAIRS, f"judge '{judge}'", instance.reads)
    if bool(reference) != kl:
        raise click.UsageError("--kl and --reference go together.")
    split = split or default_split(dataset, session.plugins, "test")
    trust = Trust(trust_remote_code, allow_pickle)
    paths = [model_path(model, session) for model in models]
    drawing = generation(generating, paths, trust)
    asked = Asked(
        judge=(judge, instance),
        drawing=drawing,
        max_length=max_length,
        unfinished=unfinished,
        reference=reference and model_path(reference, session),
    )
    source = evaluation_rows(
        dataset,
        session.plugins,
        columns=columns,
        row_format=row_format,
        template_kwargs=template_kwargs,
        special_tokens=special_tokens,
    )
    source = source if reads_pairs else source.of_prompts()
    pairs = source.read(split, limit, on_bad_row)
    others = source.read(choose_split, limit, on_bad_row) if choose_split else []
    settings = {
        "dataset": dataset,
        "split": split,
        "judge": judge,
        "judge_args": arguments,
        **source.settings,
        "on_bad_row": on_bad_row,
        **asked.document(),
    }
    call_plugin(f"judge '{judge}'", "setup", instance.setup)
    try:
        rows = [
            evaluated(path, name, pairs, asked, settings)
            for name, path in zip(names, paths, strict=True)
        ]
        selected = [
            evaluated(path, name, others, asked)
            for name, path in zip(names, paths, strict=True)
            if any(name in group for group in groups.values())
        ]
    finally:
        call_plugin(f"judge '{judge}'", "teardown", instance.teardown)
    kind = "score" if reads_pairs else "sampled" if drawing.sampling.samples else "greedy"
    _choose(rows, groups, {row["model"]: row[kind] for row in selected})
    print_json(rows) if as_json else show_evaluations(rows, f"{choose_split}, {len(others)} rows")


def _groups(
    names: Sequence[str], patterns: Sequence[str], choose_split: str | None
) -> dict[str, Sequence[str]]:
    """Return the names that each pattern chooses from."""
    if bool(patterns) != bool(choose_split):
        raise click.UsageError("--best-of and --choose-split go together.")
    from tgdpo_core.evaluation.choosing import matching

    return {pattern: matching(names, pattern) for pattern in patterns}


def _choose(
    rows: Sequence[dict[str, Any]],
    groups: Mapping[str, Sequence[str]],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    """Note the scores that models are chosen by, and which pattern each is the best of."""
    from tgdpo_core.evaluation.choosing import best

    chosen = {p: best({n: scores[n]["mean"] for n in names}) for p, names in groups.items()}
    for row in rows:
        if (name := row["model"]) in scores:
            row["selection"] = scores[name]
            row["best_of"] = [pattern for pattern, found in chosen.items() if found == name]


def _refuse_unused(options: Sequence[str], who: str, reads: str) -> None:
    """Raise ``UsageError`` for an option on the command line that the judge has no use for."""
    from click.core import ParameterSource

    context = click.get_current_context()
    flags = {each.name: each.opts[0] for each in context.command.params}
    for name in options:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = flags[name]
            raise click.UsageError(f"{flag}: {who} reads {reads} and has no use for it.")
