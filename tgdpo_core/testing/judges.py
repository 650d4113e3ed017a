"""The contract of judges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.testing.contract import PluginContract
from tgdpo_core.testing.examples import Row, make_generations, make_likelihoods

if TYPE_CHECKING:
    from tgdpo_core.testing.trials import Values


class JudgeContract(PluginContract):
    """Checks of a ``Judge``, on preference pairs.

    A judge that reads answers is given their responses as if a model had generated them; one that
    reads pairs, the pairs with made-up log-probs.

    Attributes:
        rows: preference pairs, for a judge that reads columns or one sort of prompt only.
        tolerance: by how much a score may depend on the batch, relative to the greater of 1 and
            the score.
    """

    plugin: Judge
    rows: ClassVar[Sequence[Row] | None] = None
    tolerance: float = 1e-4

    def test_it_gives_one_finite_score_each(self) -> None:
        """For every answer or pair, as in a run."""
        self._scores(self._batch())

    def test_it_gives_the_same_scores_after_a_second_setup(self) -> None:
        """Within the tolerance."""
        batch = self._batch()
        self._require_equal(
            batch,
            self._scores(batch),
            self._scores(batch),
            "Scores must be the same each time: seed what is drawn.",
        )

    def test_its_scores_do_not_depend_on_the_batch(self) -> None:
        """Alone, and in the opposite order."""
        batch = self._batch()
        together = self._scores(batch)
        message = "A score may depend on its own answer or pair only, not on others in the batch."
        alone = [score for item in batch for score in self._scores([item])]
        self._require_equal(batch, together, alone, message)
        self._require_equal(batch, together, self._scores(batch[::-1])[::-1], message)

    def test_it_leaves_the_order_of_its_batch_alone(self) -> None:
        """What is sorted, reversed or emptied in place gets scores that belong to others."""
        from tgdpo_core.scoring.guard import require_batch_kept

        batch = self._batch()
        given = list(batch)
        self._scores(given)
        require_batch_kept(self.who, given, batch)

    def test_it_changes_neither_its_input_nor_global_random_states(self) -> None:
        """The evaluation continues as if the judge were not there."""
        from tgdpo_core.testing.trials import untouched

        batch = self._batch()
        with untouched(self.who, "the prompts, responses or columns", batch):
            self._scores(batch)

    def test_its_error_spans_lie_within_the_responses(self) -> None:
        """As far as it knows errors at all."""
        from tgdpo_core.scoring.guard import call_on_batch
        from tgdpo_core.testing.examples import make_generations

        batch = make_generations(self.rows)
        found = call_on_batch(self.who, "error_spans", self.fresh().error_spans, batch)
        if found is None:
            return
        assert len(found) == len(batch), f"{self.who}: error_spans must return one list each"
        for item, spans in zip(batch, found, strict=True):
            for start, end in spans:
                assert 0 <= start <= end <= len(item.response), (
                    f"{self.who}: the span ({start}, {end}) is outside the response of "
                    f"{len(item.response)} characters to {str(item.prompt)[:40]!r}"
                )

    def test_it_can_be_torn_down_twice(self) -> None:
        """``teardown`` also follows a ``setup`` that never came."""
        judge = self.fresh()
        judge.teardown()
        judge.teardown()

    def _batch(self) -> list[Any]:
        """Return what the judge is asked about."""
        make: Any = make_likelihoods if self.plugin.reads == "pairs" else make_generations
        batch: list[Any] = make(self.rows)
        return batch

    def _scores(self, batch: Sequence[Any]) -> "Values":
        """Return the score of each, [1], from a new instance."""
        from tgdpo_core.testing.trials import judge_scores

        return judge_scores(self.fresh(), batch)

    def _require_equal(
        self, batch: Sequence[Any], first: "Values", second: "Values", message: str
    ) -> None:
        from tgdpo_core.testing.trials import require_equal

        places = [f"{self.who}, the prompt {str(item.prompt)[:40]!r}" for item in batch]
        require_equal(first, second, places, message, tolerance=self.tolerance)
