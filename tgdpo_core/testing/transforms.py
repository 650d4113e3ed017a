"""The contract of transforms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.testing.contract import PluginContract
from tgdpo_core.testing.examples import Row, make_examples

if TYPE_CHECKING:
    from tgdpo_core.testing.trials import Values


class TransformContract(PluginContract):
    """Checks of a ``Transform``, on random rewards.

    Attributes:
        rows: preference pairs whose responses the rewards belong to.
        tokenizer: the policy's.
        tolerance: by how much a value may depend on the order of the training set, relative to
            the greater of 1 and the value: what sums in another order differ by.
    """

    plugin: Transform
    rows: ClassVar[Sequence[Row] | None] = None
    tokenizer: Any = None
    tolerance: float = 1e-4

    def examples(self) -> list[Example]:
        """Return the responses that rewards are made up for."""
        return make_examples(self.rows, tokenizer=self.tokenizer)

    def test_it_gives_finite_values_of_the_same_shape(self) -> None:
        """As in a run; what ``fit`` returned has been JSON in between, as in run.json."""
        self._values(self.examples())

    def test_it_gives_the_same_values_when_fitted_again(self) -> None:
        """Equal to the last bit."""
        examples = self.examples()
        self._require_equal(
            examples,
            self._values(examples),
            self._values(examples),
            "Values must be the same each time: seed your own generator by example.uid.",
        )

    def test_its_values_do_not_depend_on_what_came_before(self) -> None:
        """One response after the other, or in the opposite order."""
        from tgdpo_core.testing.trials import fit, noise, transformed

        examples = self.examples()
        rewards = noise([len(example.response_ids) for example in examples])
        state = fit(self.fresh(), rewards, examples)
        forwards = transformed(self.fresh(), rewards, examples, state)
        backwards = transformed(self.fresh(), rewards[::-1], examples[::-1], state)[::-1]
        self._require_equal(
            examples,
            forwards,
            backwards,
            "A value may depend on its own response and on state only: keep nothing in self.",
        )

    def test_its_statistics_do_not_depend_on_the_order_of_the_training_set(self) -> None:
        """Fitted on the responses in the opposite order."""
        from tgdpo_core.testing.trials import fit, noise, require_equal, transformed

        examples = self.examples()
        rewards = noise([len(example.response_ids) for example in examples])
        states = (
            fit(self.fresh(), rewards, examples),
            fit(self.fresh(), rewards[::-1], examples[::-1]),
        )
        first, second = (transformed(self.fresh(), rewards, examples, state) for state in states)
        message = "Statistics must be those of a set: fit may not depend on its order."
        require_equal(first, second, self._places(examples), message, tolerance=self.tolerance)

    def test_it_changes_neither_its_inputs_nor_global_random_states(self) -> None:
        """Rewards, examples and state stay as they were."""
        from tgdpo_core.testing.trials import fit, noise, transformed, untouched

        examples, transform = self.examples(), self.fresh()
        rewards = noise([len(example.response_ids) for example in examples])
        with untouched(self.who, "the rewards or examples", [rewards, examples]):
            state = fit(transform, rewards, examples)
        with untouched(self.who, "the rewards, examples or state", [rewards, examples, state]):
            transformed(transform, rewards, examples, state)

    def _values(self, examples: Sequence[Example]) -> "Values":
        """Return the values of a new instance fitted on the examples."""
        from tgdpo_core.testing.trials import fit, noise, transformed

        transform = self.fresh()
        rewards = noise([len(example.response_ids) for example in examples])
        return transformed(transform, rewards, examples, fit(transform, rewards, examples))

    def _require_equal(
        self, examples: Sequence[Example], first: "Values", second: "Values", message: str
    ) -> None:
        from tgdpo_core.testing.trials import require_equal

        require_equal(first, second, self._places(examples), message)

    def _places(self, examples: Sequence[Example]) -> list[str]:
        from tgdpo_core.testing.trials import place

        return [f"{self.who}, {place(example)}" for example in examples]
