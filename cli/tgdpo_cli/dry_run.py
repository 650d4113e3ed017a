"""What ``tgdpo train --dry-run`` does: whatever can be said without training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_cli.objective_text import objective_lines
from tgdpo_cli.output import echo, print_json, show_data, show_diagnostics, show_plan

if TYPE_CHECKING:
    from tgdpo_core.preparation.plan import Plan
    from tgdpo_core.training.memory.planning import Machine

_SCORING = (
    "Scoring {pairs} pairs, for the figures below. Values are stored, and the run computes them no "
    "more; Ctrl-C ends this here and keeps them."
)


def dry_run(plan: "Plan", *, machine: "Machine", as_json: bool) -> None:
    """Print the plan, then what its token rewards and weights look like.

    Of a model of which only the config is there, the memory of a step is all that can be said.

    Raises:
        MachineError: a step is known not to fit into the memory of a GPU.
    """
    from tgdpo_core.models.checks import missing_parts
    from tgdpo_core.preparation.formats import policy_source
    from tgdpo_core.preparation.reading import read
    from tgdpo_core.preparation.tokens import tokenize
    from tgdpo_core.training import run
    from tgdpo_core.training.memory.planning import require_memory

    lacking = missing_parts(policy_source(plan))
    tokens = None
    if "tokenizer" not in lacking:
        tokens = tokenize(plan, read(plan), show=None if as_json else show_data)
    if lacking:
        _without_model(plan, machine, tokens, lacking, as_json=as_json)
    require_memory(plan, machine, tokens.train if tokens else None)
    if tokens and not lacking:
        echo("Rehearsing: the model is loaded, and its longest row computed once.", err=True)
        report = run.dry_run(plan, tokens, machine)
        if not as_json:
            _show(plan, report)
        _with_rewards(plan, tokens, report, as_json=as_json)
    if not as_json:
        echo("\nDry run: nothing was trained; no run folder was written.")


def _with_rewards(plan: "Plan", tokens: Any, report: dict[str, Any], *, as_json: bool) -> None:
    """Score, and print what came out."""
    from tgdpo_core.preparation.prepared import prepare_plan

    if not as_json:
        echo(f"\n{_SCORING.format(pairs=len(tokens.train))}")
    diagnostics = prepare_plan(plan, tokens)[0].diagnostics
    if as_json:
        print_json({**report, "diagnostics": diagnostics.as_dict()})
    else:
        show_diagnostics(diagnostics)


def _show(plan: "Plan", report: Mapping[str, Any]) -> None:
    """Print what a run would do, and what it would optimise."""
    in_words = ("reward_sources", "shaping", "loss")
    show_plan({name: value for name, value in report.items() if name not in in_words})
    for line in objective_lines(plan):
        echo(line)


def _without_model(
    plan: "Plan", machine: "Machine", tokens: Any, lacking: Any, *, as_json: bool
) -> None:
    """Print the memory of a step, and what was not looked at."""
    from tgdpo_core.training.memory.planning import memory_document

    left_out = ["rehearsal", "scoring", *(["data", "tokens"] if tokens is None else [])]
    report: dict[str, Any] = {
        "model": plan.model,
        "lacking": list(lacking),
        "not_run": left_out,
        "memory": memory_document(plan, machine, tokens.train if tokens else None),
    }
    if as_json:
        print_json(report)
        return
    show_plan(report)
    echo(
        f"\nThe model's folder has no {' and no '.join(lacking)}: not run are "
        f"{', '.join(left_out)}."
    )
