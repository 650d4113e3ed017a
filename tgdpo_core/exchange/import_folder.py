"""What an import leaves: verdicts, the tool's own numbers, and what could not be read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.evaluation.verdict_files import plain, write_verdict
from tgdpo_core.evaluation.verdict_page import verdict_page
from tgdpo_core.evaluation.verdict_summary import summarize
from tgdpo_core.evaluation.verdicts import Verdict
from tgdpo_core.exchange import judgement_forms as forms
from tgdpo_core.exchange.headlines import (
    Headline,
    alpaca_eval_headlines,
    arena_v01_scores,
    arena_v2_scores,
    mt_bench_grades,
    mt_bench_pairs,
)
from tgdpo_core.exchange.judgements import Judgements, Parser, read_judgements
from tgdpo_core.exchange.questions import Benchmark
from tgdpo_core.store.folder import write_whole


def read_of(benchmark: Benchmark, files: Sequence[Path], *, baseline: str | None) -> Judgements:
    """Return what the judgement files of a benchmark say.

    Args:
        benchmark: whose files they are.
        files: of its judgements.
        baseline: of Arena-Hard v0.1, whose rows do not name it; None: its published one.

    Raises:
        DataError: a file cannot be read, or no row of it is of the benchmark's form.
    """
    parsers: Mapping[Benchmark, Parser] = {
        "alpaca-eval": forms.alpaca_eval,
        "mt-bench": forms.mt_bench,
        "arena-hard": forms.arena_hard(baseline or forms.ARENA_V01_BASELINE),
    }
    return read_judgements(files, parsers[benchmark])


def headlines_of(
    benchmark: Benchmark, judgements: Judgements, *, baseline: str | None
) -> list[Headline]:
    """Return the tool's own numbers, by its own rules.

    Raises:
        DataError: judgements of both versions of Arena-Hard, which score differently.
    """
    if benchmark == "alpaca-eval":
        return alpaca_eval_headlines(judgements.compared)
    if benchmark == "mt-bench":
        return [*mt_bench_grades(judgements.graded), *mt_bench_pairs(judgements.compared, baseline)]
    versions = {each.version for each in judgements.compared}
    if len(versions) > 1:
        raise DataError(
            f"{judgements.report.source}: judgements of Arena-Hard {' and '.join(sorted(versions))}"
            ": their scores have different rules. Import them one by one."
        )
    return (arena_v2_scores if versions == {"v2"} else arena_v01_scores)(judgements.compared)


def summary_of(
    judgements: Judgements, headlines: Sequence[Headline], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return JSON of an import."""
    report = judgements.report
    return {
        **settings,
        "rows": report.num_rows,
        "read": report.num_pairs,
        "not_read": dict(report.counts),
        "places": report.places,
        "repeated": _num_repeated(judgements),
        "headlines": [asdict(each) for each in headlines],
    }


def _num_repeated(judgements: Judgements) -> int:
    """Return how many judgements are of what the same judge was asked before."""
    seen = [
        (each.judge, each.question, each.turn, each.model, getattr(each, "other", None))
        for each in (*judgements.compared, *judgements.graded)
    ]
    return len(seen) - len(set(seen))


def write_import(folder: Path, summary: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Write ``import.json``, and of every verdict JSON, CSV and page, by its baseline's name.

    Raises:
        DataError: the folder cannot be written.
    """
    for verdict in verdicts:
        place = folder / "verdicts" / verdict.baseline.replace("/", "__")
        numbers = summarize(verdict)
        write_verdict(place, verdict, numbers)
        write_whole(place / "verdict.html", verdict_page(verdict, numbers))
    text = json.dumps(plain(summary), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder / "import.json", text + "\n")


def require_new(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds an import.

    Raises:
        UsageError: it does.
    """
    if (folder / "import.json").exists() and not overwrite:
        raise UsageError(
            f"{folder} holds an import already. Name another --output-dir, or replace it with "
            "--overwrite."
        )
