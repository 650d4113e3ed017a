"""Which model an import compares the others with: what ``--baseline`` may name."""

from collections.abc import Sequence

from tgdpo_core.errors import UsageError, did_you_mean
from tgdpo_core.exchange.judgements import Judged, Judgements, models_of
from tgdpo_core.exchange.questions import Benchmark


def require_baseline(benchmark: Benchmark, judgements: Judgements, baseline: str | None) -> None:
    """Refuse a baseline that the judgements do not have.

    Args:
        benchmark: whose judgements they are.
        judgements: what was read; rows of Arena-Hard v0.1 that name no baseline have this one.
        baseline: None: not given.

    Raises:
        UsageError: no comparison, or no grade, is of that model; or rows name another one.
    """
    if baseline is None:
        return
    source = judgements.report.source
    if benchmark == "arena-hard":
        others = dict.fromkeys(e.other for e in judgements.compared if e.other != baseline)
        if others:
            raise UsageError(
                f"--baseline {baseline!r}: rows of {source} name theirs themselves: "
                f"{', '.join(others)}. Leave --baseline out; it is for rows of v0.1 that name none."
            )
        return
    _require_model(judgements.compared, "comparison", baseline, source)
    _require_model(judgements.graded, "grade", baseline, source)


def _require_model(judged: Sequence[Judged], kind: str, baseline: str, source: str) -> None:
    models = dict.fromkeys(model for each in judged for model in models_of(each))
    if models and baseline not in models:
        raise UsageError(
            f"--baseline {baseline!r}: no {kind} in {source} is of it. "
            f"{did_you_mean(baseline, models)}"
        )
