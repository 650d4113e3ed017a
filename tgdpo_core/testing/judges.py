"""The contract of judges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.testing.contract import PluginContract
from tgdpo_core.testing.examples import Row, make_pairs

if TYPE_CHECKING:
    from tgdpo_core.data.pairs import PreferencePair
    from tgdpo_core.testing.trials import Values


class JudgeContract(PluginContract):
    """Checks of a ``Judge``, on the responses of preference pairs as if a model had given them.

    Attributes:
        rows: preference pairs, for a judge that reads columns or one sort of prompt only.
        tolerance: by how much a score may depend on the batch, relative to the greater of 1 and
            the score.
    """

    plugin: Judge
    rows: ClassVar[Sequence[Row] | None] = None
    tolerance: float = 1e-4

    def test_it_gives_one_finite_score_per_generation(self) -> None:
        """As in a run."""
        self._scores(make_pairs(self.rows))

    def test_it_gives_the_same_scores_after_a_second_setup(self) -> None:
        """Within the tolerance."""
        pairs = make_pairs(self.rows)
        self._require_equal(
            pairs,
            self._scores(pairs),
            self._scores(pairs),
            "Scores must be the same each time: seed what is drawn.",
        )

    def test_its_scores_do_not_depend_on_the_batch(self) -> None:
        """Alone, and in the opposite order."""
        pairs = make_pairs(self.rows)
        together = self._scores(pairs)
        message = "A score may depend on its own generation only, not on the others in the batch."
        alone = [scores for pair in pairs for scores in self._scores([pair])]
        self._require_equal(pairs, together, alone, message)
        self._require_equal(pairs, together, self._scores(pairs[::-1])[::-1], message)

    def test_it_changes_neither_generations_nor_global_random_states(self) -> None:
        """The evaluation continues as if the judge were not there."""
        from tgdpo_core.testing.trials import untouched

        pairs = make_pairs(self.rows)
        with untouched(self.who, "the prompts or columns", pairs):
            self._scores(pairs)

    def test_it_can_be_torn_down_twice(self) -> None:
        """``teardown`` also follows a ``setup`` that never came."""
        judge = self.fresh()
        judge.teardown()
        judge.teardown()

    def _scores(self, pairs: "Sequence[PreferencePair]") -> "Values":
        """Return the scores of both responses of each pair, [2], from a new instance."""
        import torch

        from tgdpo_core.evaluation.generation import Answers
        from tgdpo_core.evaluation.judging import judged
        from tgdpo_core.testing.trials import set_up

        answers = [Answers(_text(pair.chosen), [_text(pair.rejected)]) for pair in pairs]
        with set_up(self.fresh()) as judge:
            chosen, rejected = judged((self.who, judge), pairs, answers)
        return [torch.tensor(scores) for scores in zip(chosen, rejected, strict=True)]

    def _require_equal(
        self, pairs: "Sequence[PreferencePair]", first: "Values", second: "Values", message: str
    ) -> None:
        from tgdpo_core.testing.trials import require_equal

        places = [f"{self.who}, the answers to {pair.where}" for pair in pairs]
        require_equal(first, second, places, message, tolerance=self.tolerance)


def _text(response: "str | Sequence[Row]") -> str:
    """Return a response as text: what the last message says."""
    return response if isinstance(response, str) else str(response[-1]["content"])
