"""A verdict as files: ``verdict.json`` (everything), ``verdict.csv`` (a line an answer)."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tgdpo_core.errors import DataError
from tgdpo_core.evaluation.verdict_numbers import VerdictSummary
from tgdpo_core.evaluation.verdicts import (
    ModelAnswer,
    NamedJudge,
    Opinion,
    Preference,
    PromptVerdict,
    Verdict,
)
from tgdpo_core.store.folder import write_whole

FORMAT = "tgdpo-verdict-1"
JSON, CSV = "verdict.json", "verdict.csv"


def write_verdict(folder: Path, verdict: Verdict, summary: VerdictSummary) -> None:
    """Write ``verdict.json`` and ``verdict.csv`` to a folder, each in one step.

    Raises:
        DataError: the folder cannot be written.
    """
    document = {
        "format": FORMAT,
        "models": list(verdict.models),
        "baseline": verdict.baseline,
        "judges": [asdict(judge) for judge in verdict.judges],
        "settings": verdict.settings,
        "summary": summary.as_dict(),
        "prompts": [_prompt(prompt) for prompt in verdict.prompts],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / JSON, json.dumps(plain(document), indent=1, allow_nan=False) + "\n")
        write_whole(folder / CSV, _csv(verdict))
    except OSError as error:
        raise DataError(f"{folder}: the verdict cannot be written: {error}") from error


def keep_in_run(
    run: Path, verdict: Verdict, summary: VerdictSummary, model: str, folder: Path
) -> None:
    """Write what a verdict says of a run to ``evaluation/JUDGE/verdict.json`` of its folder.

    Args:
        run: the run folder.
        verdict: what judges said.
        summary: its numbers.
        model: how the verdict calls the run.
        folder: where the whole verdict lies.

    Raises:
        DataError: the run folder cannot be written.
    """
    for judge in verdict.judges:
        own = run / "evaluation" / judge.name
        document = {
            **summary.of_model(model, judge.name),
            "judge": judge.settings,
            "verdict": str(folder.resolve()),
            "settings": verdict.settings,
        }
        try:
            own.mkdir(parents=True, exist_ok=True)
            write_whole(own / JSON, json.dumps(plain(document), indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise DataError(f"{own}: the verdict cannot be written: {error}") from error


def read_verdict(path: Path) -> Verdict:
    """Return what ``write_verdict`` wrote.

    Args:
        path: of ``verdict.json``, or its folder.

    Raises:
        DataError: it is not there, or not of that form.
    """
    path = path / JSON if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']!r}, expected {FORMAT!r}")
        return Verdict(
            found["models"],
            found["baseline"],
            [NamedJudge(**judge) for judge in found["judges"]],
            [_read_prompt(prompt) for prompt in found["prompts"]],
            found["settings"],
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: not a verdict ({error}). tgdpo evaluate writes them.") from error


def plain(value: Any) -> Any:
    """Return JSON of a value: no NaN and no infinity (null), what JSON does not have as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)


def _prompt(prompt: PromptVerdict) -> dict[str, Any]:
    return {"key": prompt.key, **asdict(prompt)}


def _read_prompt(found: Mapping[str, Any]) -> PromptVerdict:
    answers = {
        model: tuple(
            ModelAnswer(**{**each, "scores": {j: Opinion(**o) for j, o in each["scores"].items()}})
            for each in some
        )
        for model, some in found["answers"].items()
    }
    preferences = tuple(
        Preference(
            **{
                **each,
                **{
                    order: each[order] and Opinion(**each[order])
                    for order in ("shown_first", "shown_second")
                },
            }
        )
        for each in found["preferences"]
    )
    return PromptVerdict(found["prompt"], answers, preferences, found["columns"])


def _csv(verdict: Verdict) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(verdict))
    writer.writeheader()
    writer.writerows(_lines(verdict))
    # Half of a surrogate pair, which JSON may hold, is not text in UTF-8: it stays readable.
    return text.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")


def _columns(verdict: Verdict) -> list[str]:
    judged = [
        name
        for judge in verdict.judges
        for name in (
            [f"score:{judge.name}", f"unjudged:{judge.name}"]
            if judge.reads == "answers"
            else [
                f"{what}:{judge.name}:{other}"
                for other in verdict.models
                for what in ("preferred", "shown_first", "shown_second", "unjudged")
            ]
        )
    ]
    about = ["prompt_key", "prompt", "model", "draw", "answer", "finished", "num_tokens"]
    return [*about, "num_characters", "kl", *judged]


def _lines(verdict: Verdict) -> Iterator[dict[str, Any]]:
    """Yield an answer a line; what is not known, or not asked, is empty."""
    for prompt in verdict.prompts:
        text = prompt.prompt if isinstance(prompt.prompt, str) else json.dumps(prompt.prompt)
        for model in verdict.models:
            for draw, answer in enumerate(prompt.answers.get(model, ())):
                yield {
                    "prompt_key": prompt.key,
                    "prompt": text,
                    "model": model,
                    "draw": draw,
                    "answer": answer.text,
                    "finished": answer.finished,
                    "num_tokens": answer.num_tokens,
                    "num_characters": len(answer.text),
                    "kl": answer.kl,
                    **_scores(answer),
                    **_preferred(prompt, model, draw),
                }


def _scores(answer: ModelAnswer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for judge, opinion in answer.scores.items():
        found |= {f"score:{judge}": opinion.value, f"unjudged:{judge}": opinion.unjudged}
    return found


def _preferred(prompt: PromptVerdict, model: str, draw: int) -> dict[str, Any]:
    """Return what was said of an answer beside those of other models, as it concerns it.

    What a judge said several times, as imported files may have it, is averaged.
    """
    groups: dict[str, list[Preference]] = {}
    for item in prompt.preferences:
        if item.draw == draw and model in (item.model, item.other):
            item = item if item.model == model else turned(item)
            groups.setdefault(f"{item.judge}:{item.other}", []).append(item)
    found: dict[str, Any] = {}
    for about, items in groups.items():
        reasons = [o.unjudged for item in items for o in item.opinions if o.unjudged]
        found |= {
            f"preferred:{about}": _mean([item.value for item in items]),
            f"shown_first:{about}": _mean([_value(item.shown_first) for item in items]),
            f"shown_second:{about}": _mean([_value(item.shown_second) for item in items]),
            f"unjudged:{about}": reasons[0] if reasons else None,
        }
    return found


def _value(opinion: Opinion | None) -> float | None:
    return None if opinion is None else opinion.value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def turned(preference: Preference) -> Preference:
    """Return the same preference as one about the other model."""

    def other(opinion: Opinion | None) -> Opinion | None:
        if opinion is None or opinion.value is None:
            return opinion
        return Opinion(1 - opinion.value, explanation=opinion.explanation)

    return Preference(
        preference.judge,
        preference.other,
        preference.model,
        preference.draw,
        other(preference.shown_second),
        other(preference.shown_first),
        preference.tie_rule,
    )
