"""What happened to answers and prompts, in sentences."""

import statistics
from collections import Counter

from tgdpo_core.errors import DataError
from tgdpo_core.pairing.making import MadePairs


def counted(counts: Counter[str]) -> str:
    """Return ``3 duplicate, 1 empty``, the largest first; ``none`` for nothing."""
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in found) or "none"


def summary(made: MadePairs, notes: Counter[str]) -> list[str]:
    """Return sentences about what was made and what was left out.

    Args:
        made: the pairs.
        notes: what was found before and not used, counted by name.
    """
    finished = [f"{model} {share:.0%}" for model, share in sorted(made.finished.items())]
    lines = [
        f"{made.num_prompts} prompts, {made.num_answers} answers, {len(made.rows)} pairs.",
        f"Answers left out: {counted(made.answers_left_out)}.",
        f"Prompts without a pair: {counted(made.prompts_left_out)}.",
    ]
    if finished:
        lines.append(f"Answers that ended by themselves: {', '.join(finished)}.")
    if notes:
        lines.append(f"Not used: {counted(notes)}.")
    if made.gaps:
        mean, least = statistics.fmean(made.gaps), min(made.gaps)
        lines.append(f"Gap of the scores of a pair: {mean:.4g} on average, at least {least:.4g}.")
    if made.replaced:
        lines.append(f"Columns of the rows that were replaced: {', '.join(made.replaced)}.")
    return lines


def require_pairs(made: MadePairs, notes: Counter[str]) -> None:
    """Raise ``DataError`` with all counts where no pair is left."""
    if made.rows:
        return
    told = "\n".join(f"  {line}" for line in summary(made, notes))
    raise DataError(
        f"No pair is left.\n{told}\nDraw more answers (--samples) or longer ones "
        "(--max-new-tokens), or choose another rule or judge."
    )
