"""How many random cases are run, and what may come of each: a result, or an error of the tree.

`TGDPO_FUZZ=10000` (`make fuzz`) sets the number; without it the cases are few and always the same.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from tgdpo_core.errors import TgdpoError
from tgdpo_core.failures import translated

ASKED = os.environ.get("TGDPO_FUZZ")
DOCUMENTED = {2, 3, 4, 5, 6, 7, 75}
Result = TypeVar("Result")


def cases(share: float = 1.0) -> Any:
    """Return the settings of a property; ``share`` is below 1 where a case is slow."""
    number = int(ASKED) if ASKED else 500
    return settings(
        max_examples=max(20, int(number * share)),
        deadline=None,
        derandomize=not ASKED,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def outcome(function: Callable[[], Result]) -> Result | TgdpoError:
    """Return what a function returns, or the documented error that a command would end with.

    Anything else, which would be called a bug, is raised.
    """
    try:
        return function()
    except Exception as error:
        known = translated(error)
        if known is None or known.exit_code not in DOCUMENTED:
            raise
        return known
