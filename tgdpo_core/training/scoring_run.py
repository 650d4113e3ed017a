"""The scoring pass of a plan without training: for diagnostics and for looking at tokens.

Models are loaded only for what the store lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.known_errors import known_errors
from tgdpo_core.models.loading import policy_identity
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.reports.diagnostics import Diagnostics, diagnose
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.scoring.scored import (
    Reference,
    ScoredPairs,
    Scorer,
    scored_datasets,
)
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.inputs import given_reference, make_scorer
from tgdpo_core.training.plan import Plan
from tgdpo_core.training.run import (
    Show,
    TokenizedData,
    fresh_adapter,
    policy,
    policy_source,
    precision,
    tokenize,
    training_config,
    trust,
)


@dataclass(frozen=True)
class ScoringRun:
    """A plan with its tokens and with what can score them.

    Attributes:
        plan: what is scored.
        data: its pairs with token ids.
        scorer: fills the store.
    """

    plan: Plan
    data: TokenizedData
    scorer: Scorer

    def fill(self) -> None:
        """Compute and store what the store lacks, of training and evaluation pairs."""
        self.scorer.score(self.data.train)
        if self.data.evaluation:
            self.scorer.score(self.data.evaluation, label="evaluation: ")

    def diagnostics(self) -> Diagnostics:
        """Return the diagnostics of the training pairs; evaluation pairs are scored as well."""
        scored, _ = scored_datasets(
            self.scorer,
            self.data.train,
            self.data.evaluation,
            shaping=self.plan.shaping,
            beta=self.plan.recipe.loss.beta,
        )
        section, judge = self.plan.recipe.judging, self.plan.judge
        errors = known_errors((section.judge, judge), scored.pairs) if section and judge else None
        return diagnose(scored, scored.by_source(), is_error=errors)

    def pairs(self, rows: Sequence[int]) -> list[ScoredPair]:
        """Return some scored training pairs.

        Only these are scored, unless a transform is fitted on the whole training set.

        Args:
            rows: indices of training pairs, those left out not counted.

        Raises:
            UsageError: an index that no pair has.
        """
        pairs = self.data.train
        outside = [row for row in rows if not 0 <= row < len(pairs)]
        if outside:
            raise UsageError(
                f"There is no row {outside[0]}: training pairs are 0-{len(pairs) - 1}."
            )
        if any(_is_fitted(t) for source in self.plan.sources for _, t in source.transforms):
            scored = self._scored(self.scorer, pairs)
            return [scored[row] for row in rows]
        return list(self._scored(self.scorer, [pairs[row] for row in rows]))

    def _scored(self, scorer: Scorer, pairs: Sequence[TokenizedPair]) -> ScoredPairs:
        scored, _ = scored_datasets(
            scorer, pairs, None, shaping=self.plan.shaping, beta=self.plan.recipe.loss.beta
        )
        return scored


def scoring_run(plan: Plan, *, show: Show | None = None) -> ScoringRun:
    """Return the scoring pass of a plan; nothing is computed yet.

    Args:
        plan: what is scored.
        show: is called by the first process.
    """
    recipe = plan.recipe
    args = training_config(recipe)
    data = tokenize(plan, show=show if args.process_index == 0 else None)
    scorer = make_scorer(
        _reference(plan, data.tokenizer, args),
        plan.sources,
        data.tokenizer,
        precision=precision(recipe, args),
        device=args.device,
        store_path=args.store_path,
        trust=trust(recipe),
    )
    return ScoringRun(plan, data, scorer)


def _reference(plan: Plan, tokenizer: Any, args: TGDPOConfig) -> Reference:
    """Return the reference under the name it has in training, its model not yet loaded."""
    recipe = plan.recipe
    if named := recipe.reference.name_or_path:
        formats = precision(recipe, args)
        return given_reference(named, tokenizer, precision=formats, trust=trust(recipe))
    identity = policy_identity(policy_source(plan), lora=fresh_adapter(recipe))
    return Reference(identity, lambda: policy(plan).model)


def _is_fitted(transform: Transform) -> bool:
    return type(transform).fit is not Transform.fit
