"""A table of pairs turned into a table of token ids, on all cores, once."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.data.mapped_columns import MappedColumns
from tgdpo_core.data.pair_table import PairTable
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.source_code import data_code
from tgdpo_core.data.token_table import MappedTokens, TokenTable, column_values
from tgdpo_core.data.tokenization import (
    TOKENIZED_TOGETHER,
    LengthLimits,
    check_tokenizer,
    tokenize_batch,
)
from tgdpo_core.progress import say
from tgdpo_core.store.tables import cached_table

_FEW_PAIRS = 4096  # fewer are not worth further processes, nor a progress bar
_NUMBERS = ("prompt", "chosen", "rejected", "chosen_offsets", "rejected_offsets")
_TEXTS = ("chosen_text", "rejected_text", "problem_kind", "problem")


@dataclass(frozen=True)
class TokenizedTable:
    """A table of token ids, and what was found on the way from rows to it."""

    table: TokenTable
    report: DataReport


def tokenize_table(
    pairs: PairTable,
    tokenizer: Any,
    limits: LengthLimits,
    *,
    store: Path,
    tokenizer_name: str,
) -> TokenizedTable:
    """Return the pairs with token ids; made once for a content, whatever is trained on it.

    Args:
        pairs: the pairs; their report is continued in a copy.
        tokenizer: a fast tokenizer of transformers with an EOS token.
        limits: see ``tokenization``.
        store: folder of the store.
        tokenizer_name: names what decides the tokenizer's ids and its chat template.

    Raises:
        DataError: a tokenizer without offsets or EOS, or a chat template that runs away.
    """
    check_tokenizer(tokenizer)
    document = {
        "pairs": pairs.content,
        "tokenizer": tokenizer_name,
        "limits": asdict(limits),
        "code": data_code(),
    }
    folder = cached_table(
        store, "tokens", document, lambda staged: _write(pairs, tokenizer, limits, staged)
    )
    columns = MappedColumns(sorted(folder.glob("*.arrow")))
    kinds = np.array(columns.column("problem_kind").to_pylist(), object)
    table = MappedTokens(pairs, columns, np.flatnonzero(kinds == ""), folder)
    return TokenizedTable(table, _report(pairs, columns, kinds, table))


def _write(pairs: PairTable, tokenizer: Any, limits: LengthLimits, folder: Path) -> None:
    from datasets import Dataset

    is_small = len(pairs) < _FEW_PAIRS
    num_processes = 1 if is_small or not pairs.is_mapped else len(os.sched_getaffinity(0))

    def tokenized(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        found = tokenize_batch([pairs[row] for row in batch["row"]], tokenizer, limits)
        rows = [
            {**_EMPTY, "problem_kind": each.kind, "problem": str(each)}
            if isinstance(each, RowProblem)
            else {**_EMPTY, **column_values(each.pair), "changes": each.changes}
            for each in found
        ]
        return {name: [row[name] for row in rows] for name in _EMPTY}

    with _bars(len(pairs), num_processes, shown=not is_small):
        Dataset.from_dict({"row": np.arange(len(pairs))}).map(
            tokenized,
            batched=True,
            batch_size=TOKENIZED_TOGETHER,
            remove_columns=["row"],
            features=_features(),
            num_proc=num_processes if num_processes > 1 else None,
            cache_file_name=str(folder / "tokens.arrow"),
            new_fingerprint="tokens",  # ours is the folder's name
            desc="tokenizing",
        )


_EMPTY: Mapping[str, Any] = {
    **{name: np.empty(0, np.int32) for name in _NUMBERS},
    **dict.fromkeys(_TEXTS, ""),
    "chosen_full": 0,
    "rejected_full": 0,
    "highest_id": -1,
    "ids_hash": bytes(16),
    "text_hash": bytes(16),
    "changes": [],
}


def _features() -> Any:
    from datasets import Features, List, Value

    kinds: dict[type, Any] = {
        np.ndarray: List(Value("int32")),
        str: Value("string"),
        int: Value("int32"),
        bytes: Value("binary"),
        list: List(Value("string")),
    }
    return Features({name: kinds[type(value)] for name, value in _EMPTY.items()})


@contextmanager
def _bars(num_pairs: int, num_processes: int, *, shown: bool) -> Iterator[None]:
    """Show the bar of ``datasets`` on a screen, two lines of the log elsewhere."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_shown = not are_progress_bars_disabled()
    is_bar = shown and sys.stderr.isatty()
    (enable_progress_bars if is_bar else disable_progress_bars)()
    begun = time.perf_counter()
    if shown and not is_bar:
        say(f"tokenizing {num_pairs} pairs in {num_processes} processes ..")
    try:
        yield
    finally:
        (enable_progress_bars if were_shown else disable_progress_bars)()
    if shown and not is_bar:
        say(f"tokenized in {time.perf_counter() - begun:.0f} s")


def _report(pairs: PairTable, columns: MappedColumns, kinds: Any, table: TokenTable) -> DataReport:
    report = pairs.continued_report()
    for row in np.flatnonzero(kinds != "").tolist():
        problem = RowProblem(kinds[row], columns.value("problem", row))
        report.add_problem(pairs.where(row), problem)
    lengths = columns.list_lengths("changes")
    for row in np.flatnonzero(lengths).tolist():
        for name in columns.value("changes", row):
            report.note(name, pairs.where(row))
    report.num_pairs = len(table)
    counts = table.counts
    report.tokens = {
        "prompt": int(counts.prompt.sum()),
        "chosen": int(counts.chosen.sum()),
        "rejected": int(counts.rejected.sum()),
    }
    return report
