"""What an import leaves: verdicts, the tool's own numbers, and what could not be read."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tgdpo_core.data.report import DataReport
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.evaluation.verdict_files import CSV, JSON, plain, write_verdict
from tgdpo_core.evaluation.verdict_page import PAGE, verdict_page
from tgdpo_core.evaluation.verdict_summary import summarize
from tgdpo_core.evaluation.verdicts import Verdict
from tgdpo_core.exchange import judgement_forms as forms
from tgdpo_core.exchange.folder_names import folder_names
from tgdpo_core.exchange.headlines import (
    Headline,
    alpaca_eval_headlines,
    arena_v01_scores,
    arena_v2_scores,
    mt_bench_grades,
    mt_bench_pairs,
)
from tgdpo_core.exchange.judgements import (
    Compared,
    Judged,
    Judgements,
    Parser,
    read_judgements,
)
from tgdpo_core.exchange.lacking_texts import LackingTexts
from tgdpo_core.exchange.questions import Benchmark
from tgdpo_core.store.folder import write_whole

_VERDICTS = "verdicts"


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
    judgements: Judgements,
    headlines: Sequence[Headline],
    verdicts: Sequence[Verdict],
    *,
    lacking: LackingTexts,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return JSON of an import.

    Args:
        judgements: what was read.
        headlines: the tool's own numbers.
        verdicts: as they will be written.
        lacking: texts that were not found.
        settings: what was imported.
    """
    report = judgements.report
    folders = verdict_folders(verdicts)
    return {
        **settings,
        "rows": report.num_rows,
        "read": report.num_pairs,
        "not_read": _counts(report, report.problem_kinds),
        "noted": _counts(report, report.counts.keys() - report.problem_kinds),
        "places": report.places,
        "repeated": _num_repeated(judgements),
        "lacking_texts": asdict(lacking),
        "headlines": [asdict(each) for each in headlines],
        "verdicts": [
            {
                "baseline": verdict.baseline,
                "reads": _reads(verdict),
                "folder": f"{_VERDICTS}/{name}",
            }
            for verdict, name in zip(verdicts, folders, strict=True)
        ],
    }


def _counts(report: DataReport, kinds: Set[str]) -> dict[str, int]:
    return {kind: count for kind, count in report.counts.items() if kind in kinds}


def _reads(verdict: Verdict) -> str:
    return verdict.judges[0].reads


def _num_repeated(judgements: Judgements) -> int:
    """Return how many judgements are of what the same judge was asked before."""
    seen = [
        (each.judge, each.question, each.turn, each.model, *_compared_with(each))
        for each in (*judgements.compared, *judgements.graded)
    ]
    return len(seen) - len(set(seen))


def _compared_with(each: Judged) -> tuple[Any, ...]:
    return (each.other, *sorted(each.texts.items())) if isinstance(each, Compared) else ()


def verdict_folders(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a folder's name for each verdict: its baseline's, another for each."""
    return folder_names([verdict.baseline for verdict in verdicts])


def write_import(folder: Path, summary: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Write ``import.json``, and of every verdict JSON, CSV and page, by its baseline's name.

    Verdicts of an earlier import are taken away, once all that is new has been written.

    Raises:
        DataError: the folder cannot be written.
    """
    folders = verdict_folders(verdicts)
    text = json.dumps(plain(summary), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        for verdict, name in zip(verdicts, folders, strict=True):
            place = folder / _VERDICTS / name
            numbers = summarize(verdict)
            write_verdict(place, verdict, numbers)
            write_whole(place / PAGE, verdict_page(verdict, numbers))
        # Lone surrogates, which other tools' files may hold, become JSON's escapes.
        text = text.encode("utf-8", "backslashreplace").decode()
        write_whole(folder / "import.json", text + "\n")
        _remove_others(folder / _VERDICTS, folders)
    except OSError as error:
        raise DataError(f"{folder}: the import cannot be written: {error}") from error


def _remove_others(folder: Path, kept: Sequence[str]) -> None:
    """Remove the files of verdicts that no longer are any; what else lies there stays."""
    kept_folders = [folder / name for name in kept]
    for path in sorted(folder.iterdir()):
        is_ours = path.is_dir() and not path.is_symlink() and (path / JSON).is_file()
        if not is_ours or any(path.samefile(each) for each in kept_folders):
            continue
        for name in (CSV, PAGE, JSON):
            (path / name).unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()


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
