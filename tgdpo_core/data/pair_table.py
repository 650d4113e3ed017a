"""Preference pairs by number: rows that were checked once, read again when a pair is asked for."""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.duplicates import Array, PairHashes, count_duplicates, pair_hashes
from tgdpo_core.data.formats import parse_row, parsed_rows
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.row_table import RowTable
from tgdpo_core.data.rows import Row
from tgdpo_core.data.source_code import data_code
from tgdpo_core.data.text_rules import TextRules, with_rules
from tgdpo_core.errors import RecipeError
from tgdpo_core.progress import stage
from tgdpo_core.store.folder import canonical_hash
from tgdpo_core.store.tables import cached_table


@dataclass(frozen=True)
class PairRules:
    """How rows become pairs.

    Attributes:
        reading: which column is what.
        text: how their text is read.
        swap: whether chosen and rejected are exchanged.
    """

    reading: RowReading = field(default_factory=RowReading)
    text: TextRules = field(default_factory=TextRules)
    swap: bool = False


def swapped(pair: PreferencePair) -> PreferencePair:
    """Return a pair with its responses exchanged."""
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        chosen_finished=pair.rejected_finished,
        rejected_finished=pair.chosen_finished,
    )


class PairTable(Sequence[PreferencePair]):
    """The usable rows of a data set as pairs.

    Args:
        rows: all rows.
        kept: numbers of the usable ones, in order.
        rules: how a row becomes a pair.
        hashes: of the pairs.
        report: of all rows.
    """

    def __init__(
        self,
        rows: RowTable,
        kept: Array,
        rules: PairRules,
        hashes: PairHashes,
        report: DataReport,
    ) -> None:
        self._rows = rows
        self._kept = kept
        self._rules = rules
        self.hashes = hashes
        self.report = report

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: Any) -> Any:
        """Return a pair, or a list of pairs for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        where, row = self._rows[int(self._kept[index])]
        assert not isinstance(row, RowProblem)  # only usable rows are kept
        pair = parse_row(row, where=where, reading=self._rules.reading)
        if self._rules.swap:
            pair = swapped(pair)
        return with_rules(pair, self._rules.text)

    def where(self, index: int) -> str:
        """Return the place of a pair, for messages."""
        return self._rows.where(int(self._kept[index]))

    def continued_report(self) -> DataReport:
        """Return a report of all rows that a later step may add to."""
        return DataReport.from_json(copy.deepcopy(self.report.to_json()))

    @property
    def is_mapped(self) -> bool:
        """Whether other processes can read the rows at no cost."""
        return self._rows.is_mapped

    @property
    def content(self) -> str:
        """A hash of everything of the pairs that their token ids depend on."""
        rules = {"swap": self._rules.swap, "text": asdict(self._rules.text)}
        return canonical_hash({"pairs": self.hashes.forward.tobytes().hex(), **rules})


def read_pairs(rows: RowTable, rules: PairRules, store: Path) -> PairTable:
    """Return the pairs of rows, all rows checked.

    Rows whose content is known (files, data sets) are checked once: what was found is kept in the
    store.

    Args:
        rows: the data set.
        rules: how rows become pairs.
        store: folder of the store.

    Raises:
        DataError: ``reading.columns`` names a column that no row has.
        RecipeError: variables for a chat template that no row goes through.
    """
    if rows.content is None:
        checked = _check(rows, rules.reading)
    else:
        reading = asdict(rules.reading)
        document = {"rows": dict(rows.content), "reading": reading, "code": data_code()}
        folder = cached_table(
            store, "pairs", document, lambda staged: _check(rows, rules.reading).write(staged)
        )
        checked = _Checked.read(folder, rows.name)
    table = PairTable(rows, checked.kept, rules, checked.hashes, checked.report)
    if rules.text.chat_template_kwargs and len(table) and not table[0].is_chat:
        raise RecipeError(
            "data.chat_template_kwargs: no effect: the rows are text, so no chat template is used."
        )
    return table


@dataclass(frozen=True)
class _Checked:
    """What looking at every row has found."""

    kept: Array
    hashes: PairHashes
    report: DataReport

    def write(self, folder: Path) -> None:
        columns = (self.hashes.forward, self.hashes.backward, self.hashes.prompt)
        np.save(folder / "kept.npy", self.kept)
        np.save(folder / "hashes.npy", np.stack(columns, axis=1).view(np.uint8))
        (folder / "report.json").write_text(json.dumps(self.report.to_json()))

    @staticmethod
    def read(folder: Path, name: str) -> "_Checked":
        kept = np.load(folder / "kept.npy", allow_pickle=False)
        hashes = np.load(folder / "hashes.npy", allow_pickle=False)
        report = DataReport.from_json(json.loads((folder / "report.json").read_text()))
        report.source = name
        return _Checked(kept, PairHashes.of([hashes.tobytes()]), report)


def _check(rows: RowTable, reading: RowReading) -> _Checked:
    report = DataReport(rows.name)
    kept: list[int] = []
    hashes: list[bytes] = []
    for number, pair in parsed_rows(_with_bar(rows), report, reading):
        kept.append(number)
        hashes.append(pair_hashes(pair))
    found = PairHashes.of(hashes)
    report.counts.update(count_duplicates(found))
    return _Checked(np.array(kept, np.int64), found, report)


def _with_bar(rows: RowTable) -> Iterator[Row]:
    with stage(f"checking {Path(rows.name).name}", len(rows), "row") as bar:
        for number in range(len(rows)):
            yield rows[number]
            bar.update()
