"""The contract of token rewards."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tgdpo_core.plugin_api.rewards import Example, TokenReward
from tgdpo_core.testing.contract import PluginContract, require, require_json
from tgdpo_core.testing.examples import Row, make_examples, make_tokenizer

if TYPE_CHECKING:
    from tgdpo_core.testing.trials import Values


class TokenRewardContract(PluginContract):
    """Checks of a ``TokenReward``.

    Attributes:
        rows: preference pairs to score, for a plugin that reads columns or one sort of text only.
        tokenizer: the policy's, for a plugin that loads a model of the same tokenizer.
        tolerance: by how much a value may depend on the batch, relative to the greater of 1 and
            the value: what padded batches of a model differ by.
    """

    plugin: TokenReward
    rows: ClassVar[Sequence[Row] | None] = None
    tokenizer: Any = None
    tolerance: float = 1e-4

    def examples(self) -> list[Example]:
        """Return the examples that are scored, with what the plugin needs."""
        reward = self.fresh()
        needs = (*reward.required(), *(("policy_logps",) if reward.dynamic else ()))
        from tgdpo_core.testing.distributions import with_distributions

        made = make_examples(self.rows, tokenizer=self.tokenizer, needs=needs)
        return with_distributions(made, reward)

    def test_its_needs_are_known(self) -> None:
        """``required()`` names only what examples can carry."""
        from tgdpo_core.scoring.sources import source_of_instance

        source_of_instance(self.fresh())

    def test_its_fingerprint_is_json_and_stable(self) -> None:
        """The store finds the scores again."""
        first, second = (self.fresh().fingerprint() for _ in range(2))
        require_json(dict(first), f"{self.who}: the fingerprint {first}")
        require(
            first == second,
            f"{self.who}: two instances with equal options have the fingerprints {first} and "
            f"{second}, so stored scores would never be used again. Leave out times, addresses "
            "and random values.",
        )

    def test_its_scale_is_a_finite_number(self) -> None:
        """``scale(beta)`` can multiply the stored values."""
        factor = self.fresh().scale(0.1)
        require(
            isinstance(factor, int | float) and math.isfinite(factor),
            f"{self.who}: scale(0.1) must return a finite number, got {factor!r}.",
        )

    def test_it_gives_finite_values_one_per_response_token_or_spans(self) -> None:
        """As in a run: count, length, finite, no gradient, spans inside the response."""
        self._values(self.examples())

    def test_it_gives_the_same_values_after_a_second_setup(self) -> None:
        """Equal to the last bit, so that the store may be trusted."""
        examples = self.examples()
        self._require_equal(
            examples,
            self._values(examples),
            self._values(examples),
            "Scores must be the same each time: seed your own generator by example.uid.",
            tolerance=0,
        )

    def test_its_values_do_not_depend_on_the_batch(self) -> None:
        """Alone, in threes and in the opposite order: an example has its values."""
        examples = self.examples()
        together = self._values(examples)
        message = (
            "A value may depend on its own example only, not on what else is in the batch, on the "
            "order, or on what was scored before."
        )
        backwards = self._values(examples[::-1])[::-1]
        for other in (self._values(examples, 1), self._values(examples, 3), backwards):
            self._require_equal(examples, together, other, message, tolerance=self.tolerance)

    def test_it_leaves_the_order_of_its_batch_alone(self) -> None:
        """What is sorted, reversed or emptied in place gets values that belong to others."""
        from tgdpo_core.scoring.guard import require_batch_kept
        from tgdpo_core.testing.reward_trials import prepared, score

        examples = self.examples()
        given = list(examples)
        tokenizer = self.tokenizer or make_tokenizer()
        try:
            with prepared(self.fresh(), examples, tokenizer) as artifacts:
                score(self.fresh(), [given], tokenizer, artifacts)
        finally:  # values of wrong lengths are what follows from a new order
            require_batch_kept(self.who, given, examples)

    def test_it_changes_neither_examples_nor_global_random_states(self) -> None:
        """The run continues as if the plugin were not there."""
        from tgdpo_core.testing.trials import untouched

        examples = self.examples()
        with untouched(self.who, "the examples", examples):
            self._values(examples)

    def test_it_learns_in_training_alone_and_can_be_resumed(self) -> None:
        """A dynamic reward is asked in the phases of a run; its state goes to a new instance."""
        from tgdpo_core.testing.learning import require_resumable

        if self.plugin_class.dynamic:  # type: ignore[attr-defined]
            tokenizer = self.tokenizer or make_tokenizer()
            require_resumable(self.fresh, self.examples(), tokenizer)

    def test_it_can_be_torn_down_twice(self) -> None:
        """``teardown`` also follows a ``setup`` that never came."""
        from tgdpo_core.scoring.event_loop import finished

        reward = self.fresh()
        finished(reward.teardown())
        finished(reward.teardown())

    def _values(self, examples: Sequence[Example], size: int | None = None) -> "Values":
        """Return the values of a new instance in batches of a size (default: all together)."""
        from tgdpo_core.testing.reward_trials import prepared, score

        step = size or len(examples)
        batches = [list(examples[i : i + step]) for i in range(0, len(examples), step)]
        tokenizer = self.tokenizer or make_tokenizer()
        with prepared(self.fresh(), self.examples(), tokenizer) as artifacts:
            scored = score(self.fresh(), batches, tokenizer, artifacts)
        return [values for batch in scored for values in batch]

    def _require_equal(
        self,
        examples: Sequence[Example],
        first: "Values",
        second: "Values",
        message: str,
        *,
        tolerance: float,
    ) -> None:
        from tgdpo_core.testing.trials import place, require_equal

        places = [f"{self.who}, {place(example)}" for example in examples]
        require_equal(first, second, places, message, tolerance=tolerance)
