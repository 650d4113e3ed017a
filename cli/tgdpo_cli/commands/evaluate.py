"""``tgdpo evaluate``: generate and judge, or judge log-probabilities of pairs."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.evaluation_rows import evaluation_rows, row_options
from tgdpo_cli.evaluation_table import show_evaluations
from tgdpo_cli.help_groups import GroupedCommand
from tgdpo_cli.main import Session
from tgdpo_cli.model_names import short_names
from tgdpo_cli.output import echo, json_option, print_json, quiet_libraries

if TYPE_CHECKING:
    from tgdpo_core.evaluation.judging import Evaluation
    from tgdpo_core.models.loading import Trust

# Options of one sort of judge: the others would ignore them.
_OF_ANSWERS = ("samples", "temperature", "max_new_tokens", "batch_size", "seed")
_OF_PAIRS = ("max_length",)


@click.command("evaluate", cls=GroupedCommand)
@click.argument("models", nargs=-1, required=True, shell_complete=completion.models)
@click.option(
    "--dataset",
    required=True,
    help="Pairs: Hub id, file, folder, or registered name.",
    shell_complete=completion.plugin_names("dataset", files=True),
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
@click.option(
    "--judge",
    required=True,
    help="Registered judge: tgdpo plugins list.",
    shell_complete=completion.plugin_names("judge"),
)
@click.option(
    "--judge-arg",
    "judge_args",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the judge.",
    shell_complete=completion.option_keys("judge", "judge"),
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
@click.option("--samples", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True)
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
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
    as_json: bool,
    **sampling: Any,
) -> None:
    """Judge MODELS (run folders, folders, Hub ids, registered names).

    For most judges every prompt is answered once greedily and --samples times at random. A judge
    that reads pairs is given the log-probabilities of their responses instead; nothing is
    generated. Of a run folder, loss and displacement at the end of training are shown too, and what
    was judged is kept in its evaluation/JUDGE.

    \b
      tgdpo evaluate runs/dpo-* runs/mine-* --dataset D --judge J \\
                     --choose-split validation --best-of 'dpo-*' --best-of 'mine-*'

    chooses settings fairly: the best model of each group is found on other rows (sampled score,
    --limit of them at most) than those it is reported on.
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
    how = {"max_length": max_length} if reads_pairs else sampling
    split = split or default_split(dataset, session.plugins, "test")
    trust = Trust(trust_remote_code, allow_pickle)
    source = evaluation_rows(
        dataset,
        session.plugins,
        columns=columns,
        row_format=row_format,
        template_kwargs=template_kwargs,
        special_tokens=special_tokens,
    )
    pairs = source.read(split, limit, on_bad_row)
    others = source.read(choose_split, limit, on_bad_row) if choose_split else []
    settings = {
        "dataset": dataset,
        "split": split,
        "judge": judge,
        "judge_args": arguments,
        **source.settings,
        "on_bad_row": on_bad_row,
        **how,
    }
    asked = (judge, instance)
    call_plugin(f"judge '{judge}'", "setup", instance.setup)
    try:
        rows = [
            _evaluate(session, model, name, pairs, asked, how, trust, settings)
            for name, model in zip(names, models, strict=True)
        ]
        selected = [
            _evaluate(session, model, name, others, asked, how, trust)
            for name, model in zip(names, models, strict=True)
            if any(name in group for group in groups.values())
        ]
    finally:
        call_plugin(f"judge '{judge}'", "teardown", instance.teardown)
    _choose(
        rows, groups, {row["model"]: row["score" if reads_pairs else "sampled"] for row in selected}
    )
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
    for name in options:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag}: {who} reads {reads} and has no use for it.")


def _evaluate(
    session: Session,
    model: str,
    name: str,
    pairs: Sequence[Any],
    judge: tuple[str, Any],
    how: Mapping[str, Any],
    trust: "Trust",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one row: scores, and what the run folder says about its training.

    With ``settings`` what was judged is kept in the run folder.
    """
    import torch

    from tgdpo_core.evaluation.generation import Sampling
    from tgdpo_core.evaluation.judging import evaluate, write_evaluation
    from tgdpo_core.models.loading import load_frozen, load_tokenizer
    from tgdpo_core.models.precision import Precision
    from tgdpo_core.preparation.plan import registered_model
    from tgdpo_core.training.run_folder import RunFolder

    path = registered_model(model, session.plugins) or model

    def load() -> tuple[Any, Any]:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_frozen(path, precision=Precision(), trust=trust)
        return model.to(device), load_tokenizer(path, trust_remote_code=trust.remote_code)

    if judge[1].reads == "pairs":
        result = _evaluate_pairs(name, load, pairs, judge, **how)
    else:
        result = evaluate(name, load, pairs, judge, Sampling(**how))
    folder = RunFolder(path)
    record = folder.read()
    if record and settings is not None:
        write_evaluation(folder.path / "evaluation" / judge[0], result, settings)
    metrics = record.get("metrics", {})
    return {**result.summary(), "folder": str(path) if record else None, "metrics": metrics}


def _evaluate_pairs(
    name: str,
    load: Callable[[], tuple[Any, Any]],
    pairs: Sequence[Any],
    judge: tuple[str, Any],
    max_length: int,
) -> "Evaluation":
    """Return the evaluation of a model by pairs, tokenized as in training; say what was cut."""
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.data.token_table import ListedTokens
    from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
    from tgdpo_core.evaluation.judging import evaluate_pairs
    from tgdpo_core.scoring.fits import require_positions

    model, tokenizer = load()
    report = DataReport(name, num_rows=len(pairs))
    tokenized = tokenize_pairs(pairs, tokenizer, LengthLimits(max_length), report)
    report.raise_if_unusable("error", skip=None)  # all models are judged on the same rows
    require_positions(model, ListedTokens(tokenized))
    for what, count in sorted(report.counts.items()):
        echo(f"{name}: {count} of {len(pairs)} pairs: {what}", err=True)
    return evaluate_pairs(name, model, tokenized, judge)
