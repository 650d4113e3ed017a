"""Which of several models to report: chosen by their scores on other rows than those reported on.

The best of several noisy scores is too good on average, so a setting that is chosen and reported on
the same rows looks better than it is, the more the more values were tried.
"""

import fnmatch
from collections.abc import Mapping, Sequence

from tgdpo_core.errors import UsageError


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that a pattern with ``*``, ``?`` and ``[..]`` matches.

    Raises:
        UsageError: fewer than two, so that there is nothing to choose.
    """
    found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if len(found) < 2:
        matched = f"only {found[0]}" if found else "none"
        raise UsageError(
            f"--best-of '{pattern}' must match at least two of the models, and matches {matched}. "
            f"They are called: {', '.join(names)}."
        )
    return found


def best(scores: Mapping[str, float]) -> str:
    """Return the name with the highest score, the first of equals."""
    return max(scores, key=lambda name: scores[name])
