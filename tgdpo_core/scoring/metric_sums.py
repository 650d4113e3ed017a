"""What plugins log by ``context.log_metric``: sums and counts until somebody asks for the means."""

import math
from collections.abc import Sequence

from tgdpo_core.errors import PluginError

Sums = dict[str, tuple[float, int]]
"""Name to sum and count."""


class MetricSums:
    """The numbers of one plugin.

    Args:
        who: how messages name it.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._sums: Sums = {}

    def add(self, name: str, value: float) -> None:
        """Add a number; ``PluginError`` if it is none, or not finite."""
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"{self._who}: log_metric({name!r}, {value!r}): no number."
            ) from error
        if not math.isfinite(number):
            raise PluginError(f"{self._who}: log_metric({name!r}, {number}): not finite.")
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = total + number, count + 1

    def pop(self, source: str) -> Sums:
        """Return the sums since the last call, by ``reward/SOURCE/NAME``."""
        sums, self._sums = self._sums, {}
        return {f"reward/{source}/{name}": each for name, each in sums.items()}


def means(parts: Sequence[Sums]) -> dict[str, float]:
    """Return the means over what several processes have summed."""
    names = sorted({name for part in parts for name in part})
    joined = {name: [part[name] for part in parts if name in part] for name in names}
    return {
        name: sum(total for total, _ in found) / sum(count for _, count in found)
        for name, found in joined.items()
    }
