"""The contract of judges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tgdpo_core.plugin_api.judges import Judge, Unjudged
from tgdpo_core.testing.contract import PluginContract, require, require_json
from tgdpo_core.testing.examples import (
    Row,
    make_comparisons,
    make_generations,
    make_likelihoods,
)

if TYPE_CHECKING:
    from tgdpo_core.plugin_api.judges import Verdict


class JudgeContract(PluginContract):
    """Checks of a ``Judge``, on preference pairs.

    A judge that reads answers is given their responses as if a model had generated them; one that
    reads pairs, the pairs with made-up log-probs; one that reads comparisons, both responses of
    each pair in both orders.

    Attributes:
        rows: preference pairs, for a judge that reads columns or one sort of prompt only.
        tolerance: by how much a score may depend on the batch, relative to the greater of 1 and
            the score.
    """

    plugin: Judge
    rows: ClassVar[Sequence[Row] | None] = None
    tolerance: float = 1e-4

    def test_it_gives_one_finite_score_each(self) -> None:
        """Or ``Unjudged`` with a reason, as in a run; of comparisons from 0 to 1."""
        self._verdicts(self._batch())

    def test_it_judges_something(self) -> None:
        """A judge that has a verdict on nothing of the kit reads other rows: give it some."""
        found = self._verdicts(self._batch())
        reasons = sorted({each.reason for each in found if isinstance(each, Unjudged)})
        require(
            any(not isinstance(each, Unjudged) for each in found),
            f"{self.who} has no verdict on any of {len(found)}: {', '.join(reasons)}. Give rows "
            "that it reads: rows = [...] in the test class, or --dataset for tgdpo plugins check.",
        )

    def test_it_gives_the_same_scores_after_a_second_setup(self) -> None:
        """Within the tolerance."""
        batch = self._batch()
        self._require_equal(
            batch,
            self._verdicts(batch),
            self._verdicts(batch),
            "Scores must be the same each time: seed what is drawn.",
        )

    def test_its_scores_do_not_depend_on_the_batch(self) -> None:
        """Alone, and in the opposite order; what is unjudged stays so."""
        batch = self._batch()
        together = self._verdicts(batch)
        message = "A score may depend on its own answer or pair only, not on others in the batch."
        alone = [score for item in batch for score in self._verdicts([item])]
        self._require_equal(batch, together, alone, message)
        self._require_equal(batch, together, self._verdicts(batch[::-1])[::-1], message)

    def test_it_leaves_the_order_of_its_batch_alone(self) -> None:
        """What is sorted, reversed or emptied in place gets scores that belong to others."""
        from tgdpo_core.scoring.guard import require_batch_kept

        batch = self._batch()
        given = list(batch)
        self._verdicts(given)
        require_batch_kept(self.who, given, batch)

    def test_it_changes_neither_its_input_nor_global_random_states(self) -> None:
        """The evaluation continues as if the judge were not there."""
        from tgdpo_core.testing.trials import untouched

        batch = self._batch()
        with untouched(self.who, "the prompts, responses or columns", batch):
            self._verdicts(batch)

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

    def test_its_record_is_json(self) -> None:
        """Before it is set up and afterwards: it is written beside the verdicts."""
        from tgdpo_core.testing.trials import set_up

        judge = self.fresh()
        require_json(dict(judge.record()), f"{self.who}: the record {judge.record()}")
        with set_up(judge):
            pass
        require_json(dict(judge.record()), f"{self.who}: the record {judge.record()}")

    def test_it_can_be_torn_down_twice(self) -> None:
        """``teardown`` also follows a ``setup`` that never came."""
        from tgdpo_core.scoring.event_loop import finished

        judge = self.fresh()
        finished(judge.teardown())
        finished(judge.teardown())

    def _batch(self) -> list[Any]:
        """Return what the judge is asked about."""
        makers: dict[str, Any] = {
            "answers": make_generations,
            "pairs": make_likelihoods,
            "comparisons": make_comparisons,
        }
        batch: list[Any] = makers[self.plugin.reads](self.rows)
        return batch

    def _verdicts(self, batch: Sequence[Any]) -> "list[Verdict]":
        """Return the verdict on each, from a new instance."""
        from tgdpo_core.testing.trials import judge_verdicts

        return judge_verdicts(self.fresh(), batch)

    def _require_equal(
        self,
        batch: Sequence[Any],
        first: "Sequence[Verdict]",
        second: "Sequence[Verdict]",
        message: str,
    ) -> None:
        for item, one, other in zip(batch, first, second, strict=True):
            require(
                self._are_equal(one, other),
                f"{self.who}, the prompt {str(item.prompt)[:40]!r}: {one} and then {other}. "
                f"{message}",
            )

    def _are_equal(self, one: "Verdict", other: "Verdict") -> bool:
        if isinstance(one, Unjudged) or isinstance(other, Unjudged):
            return one == other
        return abs(one - other) <= self.tolerance * max(1.0, abs(one))
