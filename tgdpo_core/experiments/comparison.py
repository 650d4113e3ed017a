"""What an ablation found: its cells compared, as tables and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from tgdpo_core.experiments.collection import Collection, Unfinished
from tgdpo_core.experiments.equal_kl import BestAtKL, best_at_equal_kl
from tgdpo_core.experiments.main_metric import MainMetric, main_metric
from tgdpo_core.experiments.summary import (
    BestBaseline,
    CellSummary,
    MatchedKL,
    best_baseline,
    matched_kl,
    summarize,
)
from tgdpo_core.experiments.tables import (
    Table,
    best_at_kl_table,
    best_baseline_table,
    diagnostics_table,
    main_table,
    markdown_text,
    matched_kl_table,
    unfinished_table,
)
from tgdpo_core.experiments.wording import AT_EQUAL_KL, at_equal_kl, findings, notes


@dataclass(frozen=True)
class Results:
    """What an ablation found.

    Attributes:
        metric: the main metric; None where nothing was evaluated.
        summaries: one per cell with a finished run, in the order of the grid.
        best: against the baseline's best cells; None where the baseline has one cell.
        best_at_kl: against the baseline's best cell at each KL; empty as ``best`` and ``matched``.
        matched: at equal KL; empty where no KL was logged.
        unfinished: runs that failed, or were not run to the end.
        versions: what the finished runs ran with.
    """

    metric: MainMetric | None
    summaries: Sequence[CellSummary]
    best: BestBaseline | None
    best_at_kl: Sequence[BestAtKL]
    matched: Sequence[MatchedKL]
    unfinished: Sequence[Unfinished]
    versions: Sequence[str]

    @property
    def table(self) -> Table:
        """The main table."""
        return main_table(self.summaries, self.metric)

    @property
    def findings(self) -> list[str]:
        """Sentences, the headline first."""
        found = findings(self.summaries, self.metric, self.best, len(self.unfinished))
        return [*found, *(at_equal_kl(self.best_at_kl, self.metric) if self.metric else [])]

    @property
    def notes(self) -> list[str]:
        """How the numbers were made."""
        compared = sum(1 for s in self.summaries if s.peak and s.peak.difference)
        return [*notes(self.metric, compared), *([AT_EQUAL_KL] if self.best_at_kl else [])]

    def further_tables(self) -> list[Table]:
        """Return the tables below the main one."""
        tables = []
        if self.best and self.best.rivals:
            tables.append(best_baseline_table(self.best))
        if self.best_at_kl and self.metric:
            tables.append(best_at_kl_table(self.best_at_kl, self.metric))
        if self.matched and self.metric:
            tables.append(matched_kl_table(self.matched, self.metric))
        if diagnostics := diagnostics_table(self.summaries):
            tables.append(diagnostics)
        if self.unfinished:
            tables.append(unfinished_table(self.unfinished))
        return tables

    def markdown(self) -> str:
        """Return results.md."""
        parts = ["# Results of the ablation", *map(markdown_text, self.findings)]
        for table in (self.table, *self.further_tables()):
            parts += [f"## {table.title}", table.markdown()]
        parts += ["## How to read this", "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"


def results_of(collection: Collection) -> Results:
    """Return the results of what was collected."""
    metric = main_metric(collection)
    summaries = summarize(collection, metric)
    return Results(
        metric=metric,
        summaries=summaries,
        best=best_baseline(summaries, metric) if metric else None,
        best_at_kl=best_at_equal_kl(collection, metric, summaries) if metric else [],
        matched=matched_kl(collection, metric, summaries) if metric else [],
        unfinished=collection.unfinished,
        versions=collection.versions,
    )
