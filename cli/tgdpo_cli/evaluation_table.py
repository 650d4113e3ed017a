"""What ``tgdpo evaluate`` prints: a row for each model, and which is the best of its group."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tgdpo_cli.output import echo, table


def show_evaluations(rows: Sequence[Mapping[str, Any]], chosen_on: str) -> None:
    """Print scores, and of models that are runs how their training ended."""
    of_pairs = "num_pairs" in rows[0]
    kinds = tuple(kind for kind in ("score", "greedy", "sampled") if kind in rows[0])
    chooses = any("selection" in row for row in rows)

    def score(row: Mapping[str, Any], kind: str) -> str:
        return f"{row[kind]['mean']:.3f} +- {row[kind]['standard_error']:.3f}"

    def choice(row: Mapping[str, Any]) -> str:
        """Return the score that a model was chosen by, with a star if it was."""
        found = f"{row['selection']['mean']:.3f}" if "selection" in row else "-"
        return found + (" *" if row.get("best_of") else "")

    def metric(row: Mapping[str, Any], name: str) -> str:
        """Prefer evaluation data; what is unknown for a model that is no run is a dash."""
        value = row["metrics"].get(f"eval_{name}", row["metrics"].get(name))
        return "-" if value is None else f"{value:.3f}"

    # Of a group that differs in beta, loss and displacement cannot be compared.
    names = () if chooses else ("loss", "logps/chosen_delta", "logps/rejected_delta")
    shown = [
        (
            row["model"],
            *((choice(row),) if chooses else ()),
            *(score(row, kind) for kind in kinds),
            *(() if of_pairs else _endings(row)),
            *(metric(row, name) for name in names),
        )
        for row in rows
    ]
    ends = () if of_pairs else ("finished", "tokens", *(("KL",) if "kl" in rows[0] else ()))
    further = ("loss", "displacement chosen", "rejected") if names else ()
    table(("model", *(("chosen by",) if chooses else ()), *kinds, *ends, *further), shown)
    judged = f"{rows[0]['num_pairs']} pairs" if of_pairs else f"{rows[0]['num_prompts']} prompts"
    explained = "Loss and displacement (nats, log pi - log pi_ref of a response) on evaluation "
    explained += "pairs, else the last training rows."
    echo(f"{judged}, score +- standard error. {explained if names else ''}".rstrip())
    if not of_pairs:
        _show_endings(rows)
    for row in rows:
        if row["folder"]:
            echo(f"{row['model']}: {row['folder']}")
    if chooses:
        _show_choice(rows, kinds, chosen_on, score)


def _endings(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how the answers of a model ended, and how far it is from the reference."""
    kl = (f"{row['kl']['mean']:.3f} +- {row['kl']['standard_error']:.3f}",) if "kl" in row else ()
    return (f"{row['finished']:.3f}", f"{row['tokens']:.1f}", *kl)


def _show_endings(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what the columns of endings mean, and what became of unfinished answers."""
    from tgdpo_core.evaluation.endings import SAID

    of = "random" if "sampled" in rows[0] else "greedy"
    said = f"finished: share of the {of} answers that the model ended itself; tokens: mean length."
    if "kl" in rows[0]:
        said += " KL: of the random answers to the reference, nats."
    echo(said)
    if any(row["num_unfinished"] for row in rows):
        echo(f"{SAID[rows[0]['unfinished']].capitalize()} (--unfinished {rows[0]['unfinished']}).")
    for row in rows:
        for kind in ("greedy", "sampled"):
            if kind in row and (count := row[kind]["num_left_out"]):
                echo(f"{row['model']}: {count} prompts without a {kind} score.")
        if reasons := row["unjudged"]:
            listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
            echo(f"{row['model']}: {sum(reasons.values())} answers unjudged: {listed}.")


def _show_choice(
    rows: Sequence[Mapping[str, Any]],
    kinds: Sequence[str],
    chosen_on: str,
    score: Callable[[Mapping[str, Any], str], str],
) -> None:
    """Print which model is the best of each group, and its scores."""
    by = kinds[-1]
    by = "score" if by == "score" else f"{by} score"
    echo(f"\n*: the best of its group by the {by} on other rows ({chosen_on}), and here:")
    best = [(pattern, row) for row in rows for pattern in row.get("best_of", ())]
    table(
        ("best of", "model", *kinds),
        [(pattern, row["model"], *(score(row, kind) for kind in kinds)) for pattern, row in best],
    )
