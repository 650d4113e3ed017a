"""What a user hands to the trainer as data: read, tokenized and checked as a recipe's data is."""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.duplicates import count_overlap
from tgdpo_core.data.pair_table import PairRules, PairTable, read_pairs
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.shares import check_shares, has_doubts, share_lines
from tgdpo_core.data.text_rules import TextRules
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.data.tokenization import LengthLimits, layout
from tgdpo_core.data.tokenizing import tokenize_table
from tgdpo_core.errors import DataError
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.preparation.plan import store_of
from tgdpo_core.recipe.data_section import MaxSharesSection
from tgdpo_core.training.config import TGDPOConfig
from tgdpo_core.training.given_rows import EvalData, TrainData, rows_of, sets_of

logger = logging.getLogger(__name__)

_ARGUMENT_OF = {"format": "data_format"}  # where the recipe's name and ours differ


@dataclass(frozen=True)
class GivenSet:
    """One data set.

    Attributes:
        tokens: its pairs with token ids.
        pairs: as written; None where they came tokenized.
        report: what was found and changed on the way; None where they came tokenized.
    """

    tokens: TokenTable
    pairs: PairTable | None = None
    report: DataReport | None = None


@dataclass(frozen=True)
class GivenData:
    """Training and evaluation data.

    Attributes:
        train: the training pairs.
        evaluation: evaluation pairs by the name of their set; '' for one without a name.
        facts: what run.json says about them; nothing of pairs that came tokenized.
    """

    train: TokenTable
    evaluation: Mapping[str, TokenTable]
    facts: Mapping[str, Any]


def given_data(
    train: TrainData, evaluation: EvalData, tokenizer: Any, args: TGDPOConfig
) -> GivenData:
    """Return everything that a trainer was given to train and evaluate on.

    The first process logs what was found: as a warning, if rows were left out, cut or are doubtful.

    Args:
        train: see ``given_rows``.
        evaluation: see ``given_rows``; None for none.
        tokenizer: the policy's.
        args: how rows and their text are read, lengths, and how much may be wrong with them.

    Raises:
        DataError: not rows at all, bad rows (``args.on_bad_row``), none left, or more of something
            than ``args.max_shares`` allows.
    """
    trained = given_set(train, tokenizer, args, "train_dataset")
    names = {
        name: (rows, f"eval_dataset[{name!r}]" if name else "eval_dataset")
        for name, rows in sets_of(evaluation).items()
    }
    evaluated = {
        name: given_set(rows, tokenizer, args, source, trained=trained.pairs)
        for name, (rows, source) in names.items()
    }
    facts: dict[str, Any] = {}
    if trained.report and trained.pairs:
        facts["data"] = trained.report.as_dict()
        facts["layout"] = layout(tokenizer, trained.pairs[:1])
    reports = {name: each.report.as_dict() for name, each in evaluated.items() if each.report}
    if reports:
        facts["evaluation_data"] = reports.get("", reports)
    return GivenData(trained.tokens, {name: each.tokens for name, each in evaluated.items()}, facts)


def given_set(
    data: TrainData,
    tokenizer: Any,
    args: TGDPOConfig,
    name: str,
    *,
    trained: PairTable | None = None,
) -> GivenSet:
    """Return one data set with token ids; pairs that are tokenized already stay as they are.

    Args:
        data: see ``given_rows``.
        tokenizer: the policy's.
        args: as for ``given_data``.
        name: ``train_dataset`` or ``eval_dataset``, for messages.
        trained: the training pairs, of which evaluation pairs may repeat some.

    Raises:
        DataError: as ``given_data``.
    """
    rows = rows_of(data, name, args.max_streamed_rows)
    if isinstance(rows, TokenTable):
        return GivenSet(rows)
    store = store_of(args.store_path)
    rules = PairRules(
        RowReading(args.data_format, args.columns or {}),
        TextRules(
            args.chat_template_kwargs or {}, args.special_tokens, args.lost_text, args.add_eos
        ),
    )
    with _settings_named():
        pairs = read_pairs(rows, rules, store)
        pairs.report.raise_if_unusable(args.on_bad_row)
        found = tokenize_table(
            pairs,
            tokenizer,
            LengthLimits(args.max_length, args.max_prompt_length),
            store=store,
            tokenizer_name=tokenizer_fingerprint(tokenizer),
        )
        report = found.report
        if trained:
            report.counts.update(count_overlap(pairs.hashes, trained.hashes))
        if args.process_index == 0:
            _log(report)
        report.raise_if_unusable(args.on_bad_row)
        check_shares(report, MaxSharesSection(**(args.max_shares or {})))
    return GivenSet(found.table, pairs, report)


def _log(report: DataReport) -> None:
    level = logging.WARNING if has_doubts(report) else logging.INFO
    found = [f"{report.num_pairs} pairs", *share_lines(report)]
    logger.log(level, "%s: %s", report.source, "; ".join(found))


@contextlib.contextmanager
def _settings_named() -> Iterator[None]:
    """Say which arguments the settings of a recipe are that a message names."""
    try:
        yield
    except DataError as error:
        named = dict.fromkeys(re.findall(r"\bdata\.([a-z_]+)\b", str(error)))
        if not named:
            raise
        arguments = ", ".join(f"{_ARGUMENT_OF.get(name, name)}=.." for name in named)
        raise DataError(f"{error}\nIn Python: TGDPOConfig({arguments}).") from error
