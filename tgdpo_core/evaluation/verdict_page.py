"""A verdict as one HTML file: tables, and the answers side by side, searched in the page itself.

Nothing is loaded. The answers are JSON in the page, which its one script shows as text; a content
security policy allows that script, by its hash, and no other.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from tgdpo_core.evaluation.verdict_files import plain
from tgdpo_core.evaluation.verdict_numbers import VerdictSummary
from tgdpo_core.evaluation.verdict_sentences import verdict_sentences
from tgdpo_core.evaluation.verdict_tables import verdict_tables
from tgdpo_core.evaluation.verdicts import ModelAnswer, Opinion, PromptVerdict, Verdict
from tgdpo_core.reports.pages import page_environment
from tgdpo_core.reports.visible import printable

PAGE = "verdict.html"


def verdict_page(verdict: Verdict, summary: VerdictSummary, notes: Sequence[str] = ()) -> str:
    """Return the document.

    Args:
        verdict: what judges said.
        summary: its numbers.
        notes: sentences for the top: what was left out, what it cost.
    """
    templates = files("tgdpo_core.evaluation") / "templates"
    script = (templates / "verdict.js").read_text(encoding="utf-8")
    style = (templates / "verdict.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    template = page_environment("tgdpo_core.evaluation").get_template("verdict.html.j2")
    page = template.render(
        script=Markup(script),
        style=Markup(style),
        digest=digest,
        data=Markup(_in_html(_data(verdict))),
        tables=verdict_tables(summary),
        sentences=[*notes, *verdict_sentences(summary)],
        verdict=verdict,
        num_prompts=len(verdict.prompts),
    )
    # Half of a surrogate pair, which JSON may hold, is not text in UTF-8: it stays readable.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _in_html(data: Any) -> str:
    """Return JSON that ends no script element and holds nothing of HTML."""
    text = json.dumps(plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _data(verdict: Verdict) -> dict[str, Any]:
    """Return what the script reads; names are short, since there may be thousands."""
    models = {model: number for number, model in enumerate(verdict.models)}
    judges = {judge.name: number for number, judge in enumerate(verdict.judges)}
    return {
        "models": [printable(model) for model in models],
        "baseline": models[verdict.baseline],
        "judges": [{"name": printable(j.name), "reads": j.reads} for j in verdict.judges],
        "entries": [
            entry
            for number, prompt in enumerate(verdict.prompts)
            for entry in _entries(number, prompt, models, judges)
        ],
    }


def _entries(
    number: int, prompt: PromptVerdict, models: dict[str, int], judges: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield the answers of one draw: number, draw, prompt, answers by model, preferences."""
    draws = max((len(answers) for answers in prompt.answers.values()), default=0)
    shown = _turns(prompt.prompt)
    for draw in range(draws):
        answers = [prompt.answers.get(model, ()) for model in models]
        yield {
            "n": number + 1,
            "d": draw + 1,
            "of": draws,
            "p": shown,
            "a": [_answer(a[draw], judges) if draw < len(a) else None for a in answers],
            "v": [
                {
                    "j": judges[item.judge],
                    "m": models[item.model],
                    "o": models[item.other],
                    "x": item.value,
                    "f": _opinion(item.shown_first),
                    "s": _opinion(item.shown_second),
                }
                for item in prompt.preferences
                if item.draw == draw
            ],
        }


def _answer(answer: ModelAnswer, judges: dict[str, int]) -> dict[str, Any]:
    scores: list[Any] = [None] * len(judges)
    for judge, opinion in answer.scores.items():
        scores[judges[judge]] = _opinion(opinion)
    return {
        "t": printable(answer.text),
        "f": answer.finished,
        "k": answer.num_tokens,
        "kl": answer.kl,
        "s": scores,
    }


def _opinion(opinion: Opinion | None) -> list[Any] | None:
    """Return value, why there is none, explanation."""
    if opinion is None:
        return None
    words = (opinion.unjudged, opinion.explanation)
    return [opinion.value, *(printable(each) if each else None for each in words)]


def _turns(prompt: Any) -> list[list[str]]:
    """Return a prompt as roles and texts; text has no role."""
    if isinstance(prompt, str):
        return [["", printable(prompt)]]
    return [
        [printable(str(turn.get("role", ""))), printable(_content(turn.get("content")))]
        for turn in prompt
    ]


def _content(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
