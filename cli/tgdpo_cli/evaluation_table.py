"""What ``tgdpo evaluate`` prints: a row for each model, and which is the best of its group."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tgdpo_cli.output import echo, table


def show_evaluations(rows: Sequence[Mapping[str, Any]], chosen_on: str) -> None:
    """Print scores, and of models that are runs how their training ended."""
    of_pairs = "num_pairs" in rows[0]
    kinds = ("score",) if of_pairs else ("greedy", "sampled")
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
            *(metric(row, name) for name in names),
        )
        for row in rows
    ]
    further = ("loss", "displacement chosen", "rejected") if names else ()
    table(("model", *(("chosen by",) if chooses else ()), *kinds, *further), shown)
    judged = f"{rows[0]['num_pairs']} pairs" if of_pairs else f"{rows[0]['num_prompts']} prompts"
    explained = "Loss and displacement (nats, log pi - log pi_ref of a response) on evaluation "
    explained += "pairs, else the last training rows."
    echo(f"{judged}, score +- standard error. {explained if names else ''}".rstrip())
    for row in rows:
        if row["folder"]:
            echo(f"{row['model']}: {row['folder']}")
    if chooses:
        _show_choice(rows, kinds, chosen_on, score)


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
