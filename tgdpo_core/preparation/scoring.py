"""Step 4, TokenTable -> ScoredTable: what the store lacks is computed, models only for that."""

from collections.abc import Callable
from typing import Any

from accelerate import PartialState

from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import RecipeError
from tgdpo_core.models.loading import load_causal_lm, policy_identity
from tgdpo_core.preparation.formats import (
    device_of,
    fresh_adapter,
    load_plan_policy,
    own_precision_of,
    policy_source,
    precision_of,
    trust_of,
)
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.references import given_reference
from tgdpo_core.preparation.scored_table import Scored, score
from tgdpo_core.preparation.tokens import Tokens
from tgdpo_core.scoring.filling import Elsewhere
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.settings import Reference, ScoringSettings


def scorer_of(plan: Plan, tokenizer: Any, training: TokenTable | None = None) -> Scorer:
    """Return what scores a plan's tables; nothing is loaded yet.

    Args:
        plan: what is scored.
        tokenizer: the policy's.
        training: the whole training set, for rewards that are fitted to it.
    """
    settings = ScoringSettings(
        plan.store, device_of(plan), precision_of(plan), trust_of(plan.recipe)
    )
    return Scorer(
        _reference(plan, tokenizer), plan.sources, tokenizer, settings, plan.loss, training=training
    )


def is_first_process(plan: Plan) -> bool:
    """Return whether this process is the one that speaks for the run."""
    device_of(plan)  # processes meet here
    return bool(PartialState().is_main_process)


def fill_store(
    plan: Plan, tokens: Tokens, elsewhere: Callable[[str], Elsewhere] | None = None
) -> Scorer:
    """Compute what the store lacks of a plan's pairs; return what has done so.

    Args:
        plan: what is scored.
        tokens: its pairs.
        elsewhere: gives the processes that fill the store for a table, by the table's name
            (``train`` or ``evaluation``); None: this process does.
    """
    scorer = scorer_of(plan, tokens.tokenizer, tokens.train)
    for name, table in (("train", tokens.train), ("evaluation", tokens.evaluation)):
        if table:
            scorer.score(
                table,
                label="" if name == "train" else f"{name}: ",
                elsewhere=elsewhere(name) if elsewhere else None,
            )
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
    identity = policy_identity(
        policy_source(plan), lora=fresh_adapter(recipe), four_bits=recipe.model.load_in_4bit
    )
    own = own_precision_of(plan)
    if recipe.engine.device_map is None:
        return Reference(identity, lambda: load_plan_policy(plan).model, own)
    if recipe.model.lora:
        raise RecipeError(
            "engine.device_map: a policy with a fresh adapter (model.lora) cannot be spread over "
            "devices as its own reference: name the model itself as reference.name_or_path."
        )
    return Reference(
        identity,
        lambda: load_causal_lm(policy_source(plan), precision=own, trust=trust_of(recipe)),
        own,
    )
