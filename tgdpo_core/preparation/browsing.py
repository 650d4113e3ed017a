"""All training pairs of a plan as the token browser takes them."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tgdpo_core.data.pairs import SIDES, TokenizedPair
from tgdpo_core.data.report import RowProblem
from tgdpo_core.evaluation.known_errors import known_errors
from tgdpo_core.marks.reading import error_judge_of
from tgdpo_core.marks.rows import parse_marked_row
from tgdpo_core.marks.tokens import error_mask
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.rewards import Side
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.prepared import diagnosed
from tgdpo_core.preparation.scored_table import Scored
from tgdpo_core.preparation.scoring import score_tokens, scorer_of
from tgdpo_core.preparation.tokens import Tokens
from tgdpo_core.reports.browser.numbers import Array, Errors, PairSource

logger = logging.getLogger(__name__)

_MARKS = ("error_spans", "first_error_step")


def pair_source(
    plan: Plan,
    tokens: Tokens,
    *,
    facts: Sequence[tuple[str, str]],
    judge: str | None = None,
    rows: Sequence[int] | None = None,
) -> PairSource:
    """Return the pairs of a plan; what the store lacks of their scores is computed first.

    Args:
        plan: what is scored.
        tokens: its pairs.
        facts: label and value of what was scored.
        judge: one that knows errors; None: the recipe's, the data set's own, or the rows' marks.
        rows: numbers of the training pairs that are shown; None: all.
    """
    scorer = scorer_of(plan, tokens.tokenizer, tokens.train)
    scored = score_tokens(plan, tokens, scorer)
    known = _judge(plan, judge)
    shaping, beta = plan.shaping, plan.recipe.loss.beta
    found = diagnosed(Scored(scored.train, {}), scorer, shaping=shaping, beta=beta, judge=None)
    numbers = range(len(scored.train)) if rows is None else rows
    table = scored.train if rows is None else scored.train.take(rows)
    several = len(plan.sources) > 1
    return PairSource(
        scored=table,
        sources=_named_apart(table.by_source()) if several else [],
        errors=_errors(known, table.tokens),
        token_name=tokens.tokenizer.convert_ids_to_tokens,
        facts=[*facts, *([("errors", f"judge {known[0]}")] if known else [])],
        signs=[sign.message for sign in found.warnings],
        numbers=numbers,
    )


def _named_apart(sources: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    names = [name for name, _ in sources]
    return [
        (name if names.count(name) == 1 else f"{name} (reward.{i})", pairs)
        for i, (name, pairs) in enumerate(sources)
    ]


def _judge(plan: Plan, named: str | None) -> tuple[str, Judge] | None:
    """Return the judge that is asked for errors."""
    if named is None and plan.judge and plan.recipe.judging:
        return plan.recipe.judging.judge, plan.judge
    name = named or error_judge_of(plan.recipe.data.path, plan.plugins)
    return (name, plan.plugins.find("judge", name).create({})) if name else None


def _errors(judge: tuple[str, Judge] | None, pairs: Sequence[TokenizedPair]) -> Errors | None:
    if judge:
        return lambda some: known_errors(judge, some)
    has_marks = any(name in pairs[0].pair.columns for name in _MARKS) if len(pairs) else False
    return MarksOfRows() if has_marks else None


class MarksOfRows:
    """Error tokens by the marks that rows bring along; rows without readable ones have none."""

    def __init__(self) -> None:
        self._said: Counter[str] = Counter()

    def __call__(self, pairs: Sequence[TokenizedPair]) -> Mapping[Side, Array]:
        """Return [N] bool of each side, response after response."""
        masks: dict[Side, list[Array]] = {side: [] for side in SIDES}
        for pair in pairs:
            for side, mask in self._of(pair).items():
                masks[side].append(mask)
        return {side: np.concatenate([*parts, np.zeros(0, bool)]) for side, parts in masks.items()}

    def _of(self, pair: TokenizedPair) -> dict[Side, Array]:
        found: dict[Side, Array] = {
            side: np.zeros(len(pair.response(side).ids), bool) for side in SIDES
        }
        row = pair.pair
        content = {**row.columns, "chosen": row.chosen, "rejected": row.rejected}
        try:
            marked = parse_marked_row({**content, "prompt": row.prompt}, where=row.where)
        except RowProblem as problem:
            self._say(problem)
            return found
        sides = SIDES if marked.is_pair else SIDES[1:]
        for side, response in zip(sides, marked.responses, strict=True):
            tokens = pair.response(side)
            if response.text in tokens.text or tokens.text in response.text:
                found[side] = error_mask(response, tokens)
        return found

    def _say(self, problem: RowProblem) -> None:
        if not self._said[problem.kind]:
            logger.warning("Rows whose marks cannot be read are shown without: %s", problem)
        self._said[problem.kind] += 1
