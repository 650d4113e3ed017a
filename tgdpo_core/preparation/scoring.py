"""Step 4, TokenTable -> ScoredTable: what the store lacks is computed, models only for that."""

from typing import Any

from accelerate import PartialState

from tgdpo_core.models.loading import policy_identity
from tgdpo_core.preparation.formats import (
    device_of,
    fresh_adapter,
    load_plan_policy,
    policy_source,
    precision_of,
    trust_of,
)
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.references import given_reference
from tgdpo_core.preparation.scored_table import Scored, score
from tgdpo_core.preparation.tokens import Tokens
from tgdpo_core.scoring.scorer import Reference, Scorer, ScoringSettings


def scorer_of(plan: Plan, tokenizer: Any) -> Scorer:
    """Return what scores a plan's tables; nothing is loaded yet."""
    settings = ScoringSettings(
        plan.store, device_of(plan), precision_of(plan), trust_of(plan.recipe)
    )
    return Scorer(_reference(plan, tokenizer), plan.sources, tokenizer, settings)


def is_first_process(plan: Plan) -> bool:
    """Return whether this process is the one that speaks for the run."""
    device_of(plan)  # processes meet here
    return bool(PartialState().is_main_process)


def fill_store(plan: Plan, tokens: Tokens) -> Scorer:
    """Compute what the store lacks of a plan's pairs; return what has done so."""
    scorer = scorer_of(plan, tokens.tokenizer)
    scorer.score(tokens.train)
    if tokens.evaluation:
        scorer.score(tokens.evaluation, label="evaluation: ")
    return scorer


def score_tokens(plan: Plan, tokens: Tokens, scorer: Scorer) -> Scored:
    """Return a plan's scored tables."""
    return score(
        scorer,
        tokens.train,
        {"": tokens.evaluation} if tokens.evaluation else {},
        shaping=plan.shaping,
        beta=plan.recipe.loss.beta,
    )


def _reference(plan: Plan, tokenizer: Any) -> Reference:
    """Return the reference under the name it has in training, its model not yet loaded."""
    recipe = plan.recipe
    if named := recipe.reference.name_or_path:
        trust = trust_of(recipe)
        return given_reference(named, tokenizer, precision=precision_of(plan), trust=trust)
    identity = policy_identity(policy_source(plan), lora=fresh_adapter(recipe))
    return Reference(identity, lambda: load_plan_policy(plan).model)
