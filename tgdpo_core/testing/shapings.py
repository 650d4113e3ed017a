"""The contract of shapings."""

from typing import TYPE_CHECKING

from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.testing.contract import PluginContract

if TYPE_CHECKING:
    from tgdpo_core.scoring.weights import PairValues
    from tgdpo_core.testing.trials import Values

_LENGTHS = (7, 4, 1, 1, 60, 200, 1, 30)


class ShapingContract(PluginContract):
    """Checks of a ``Shaping``, on random rewards of short and long responses, and on zeros."""

    plugin: Shaping

    def test_it_gives_finite_weights_of_the_same_shape(self) -> None:
        """As in a run."""
        self._weights(_pairs())

    def test_it_gives_the_same_weights_twice(self) -> None:
        """Equal to the last bit."""
        self._require_equal(
            self._weights(_pairs()),
            self._weights(_pairs()),
            "Weights must be the same each time: no random numbers in a shaping.",
        )

    def test_its_weights_do_not_depend_on_what_came_before(self) -> None:
        """One pair after the other, or in the opposite order."""
        backwards = self._weights(_pairs()[::-1])
        num_pairs = len(backwards) // 2
        restored = [backwards[2 * i + side] for i in reversed(range(num_pairs)) for side in (0, 1)]
        self._require_equal(
            self._weights(_pairs()),
            restored,
            "Weights may depend on the rewards of their pair only: keep nothing in self.",
        )

    def test_it_changes_neither_rewards_nor_global_random_states(self) -> None:
        """The same rewards are shown in metrics afterwards."""
        from tgdpo_core.testing.trials import untouched

        pairs, shaping = _pairs(), self.fresh()
        with untouched(self.who, "the rewards", pairs):
            for pair in pairs:
                shaping(*pair)

    def _weights(self, pairs: "list[PairValues]") -> "Values":
        """Return f_w and f_l of each pair in turn, from a new instance."""
        from tgdpo_core.scoring.process_state import settings_kept_by
        from tgdpo_core.scoring.weights import token_weights

        shaping = self.fresh()
        with settings_kept_by(self.who):
            return [
                weights
                for pair in pairs
                for weights in token_weights(shaping, self.who, pair, _place(pair))
            ]

    def _require_equal(self, first: "Values", second: "Values", message: str) -> None:
        from tgdpo_core.testing.trials import require_equal

        places = [
            f"{self.who}, {_place(pair)}, {name}" for pair in _pairs() for name in ("f_w", "f_l")
        ]
        require_equal(first, second, places, message)


def _pairs() -> "list[PairValues]":
    """Return rewards of pairs: standard normal, times ten, and zeros."""
    from tgdpo_core.testing.trials import noise

    rewards = noise(_LENGTHS)
    pairs = list(zip(rewards[::2], rewards[1::2], strict=True))
    first = pairs[0]
    return [*pairs, (first[0] * 10, first[1] * 10), (first[0] * 0, first[1] * 0)]


def _place(pair: "PairValues") -> str:
    return f"a pair of {len(pair[0])} and {len(pair[1])} response tokens"
