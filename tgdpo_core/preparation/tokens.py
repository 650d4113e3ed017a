"""Step 3, PairTable -> TokenTable: pairs get their token ids, once for a content."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.pair_table import PairTable
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.shares import check_shares
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.data.tokenization import LengthLimits, layout
from tgdpo_core.data.tokenizing import TokenizedTable, tokenize_table
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.models.loading import load_tokenizer
from tgdpo_core.preparation.plan import Plan
from tgdpo_core.preparation.reading import Pairs

Show = Callable[[DataReport, DataReport | None], None]
"""Takes the reports on training and evaluation pairs once these have token ids."""


@dataclass(frozen=True)
class Tokens:
    """Training and evaluation pairs with token ids.

    Attributes:
        pairs: as written.
        tokenizer: gave the ids.
        train: training pairs.
        evaluation: evaluation pairs, or None.
        layout: how they were laid out.
        report: what was found and changed on the way from rows to ids.
        evaluation_report: the same of the evaluation pairs.
    """

    pairs: Pairs
    tokenizer: Any
    train: TokenTable
    evaluation: TokenTable | None
    layout: str
    report: DataReport
    evaluation_report: DataReport | None


def tokenize(plan: Plan, pairs: Pairs, *, show: Show | None = None) -> Tokens:
    """Return a plan's pairs with token ids.

    Args:
        plan: names the tokenizer and the limits.
        pairs: its pairs; their reports stay as they are.
        show: see ``Show``; called before shares that are too large end the run.

    Raises:
        DataError: rows that cannot be used, or more of something than ``data.max_shares`` allows.
    """
    section, data = plan.recipe.model, plan.recipe.data
    tokenizer = load_tokenizer(
        plan.model, revision=section.revision, trust_remote_code=section.trust_remote_code
    )
    train = _tokenized(plan, pairs.train, tokenizer)
    evaluation = _tokenized(plan, pairs.evaluation, tokenizer) if pairs.evaluation else None
    if show:
        show(train.report, evaluation.report if evaluation else None)
    for each in (train, evaluation):
        if each:
            each.report.raise_if_unusable(data.on_bad_row)
            check_shares(each.report, data.max_shares)
    return Tokens(
        pairs,
        tokenizer,
        train.table,
        evaluation.table if evaluation else None,
        layout(tokenizer, pairs.train[:1]),
        train.report,
        evaluation.report if evaluation else None,
    )


def _tokenized(plan: Plan, pairs: PairTable, tokenizer: Any) -> TokenizedTable:
    limits = LengthLimits(plan.recipe.data.max_length, plan.recipe.data.max_prompt_length)
    return tokenize_table(
        pairs,
        tokenizer,
        limits,
        store=plan.store,
        tokenizer_name=tokenizer_fingerprint(tokenizer),
    )
