"""What a judge's reply says: the verdict in it, or why there is none. Pure functions."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tgdpo_core import Unjudged

Rule = Literal["rating", "letters", "scale", "names"]
Found = float | Unjudged

NO_VERDICT = Unjudged("no verdict in the judge's reply")
SEVERAL = Unjudged("contradictory verdicts in the judge's reply")
NO_LOGPROBS = Unjudged("no log-probs in the judge's reply")
EMPTY_REPLY = Unjudged("empty reply of the judge")
CUT = Unjudged("the judge's reply was cut at max_tokens")
REFUSED = Unjudged("the judge refused")
OUT_OF_RANGE = Unjudged("a rating outside 1 to 10")
TOO_LONG = Unjudged("longer than the judge can read (prompt and max_tokens)")

_OPENS, _CLOSES = r"<think(?:ing)?>", r"</think(?:ing)?>"
# A closing mark without an opening one ends a thought that the chat template opened in the prompt.
_THOUGHTS = tuple(
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (rf"{_OPENS}.*?{_CLOSES}", rf"\A.*{_CLOSES}", rf"{_OPENS}.*\Z")
)
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*(?:/\s*10)?\s*"
_RATING = re.compile(rf"\[\[{_NUMBER}\]\]")
# One pair of brackets may be a footnote, but not behind what it is asked for, nor as a last line.
_AROUND = "*_\"'`"
_ONE_PAIR = rf"\[{_NUMBER}\](?:\s*/\s*10)?[ \t{_AROUND}]*"
_SINGLE_RATINGS = (
    re.compile(
        rf"\b(?:rating|grade|score)[\s{_AROUND}]*(?:[:=]|\bis\b)[\s{_AROUND}]*{_ONE_PAIR}"
        r"(?:\.(?!\d)|$)",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(rf"(?:\A|\n)[ \t{_AROUND}]*{_ONE_PAIR}\.?\Z"),
)
_LETTER = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
_SCALE = re.compile(r"\[\[\s*([AB])\s*(>>|>|=|<|<<)\s*([AB])\s*\]\]")
_NAME = re.compile(r"[\s\"'`*.]*([mM])[\s\"'`*.]*")
_LETTERS = {"A": 1.0, "B": 0.0, "C": 0.5, "TIE": 0.5}

_TOO_LONG = re.compile(
    r"context[ _](length|window|size)|max(imum)?[ _](context|model|prompt|input)[ _]len"
    r"|(prompt|input|request|messages?)\b[^.]{0,40}\btoo long|string_above_max_length"
    r"|too many (input |prompt )?tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[ _](filter|policy|management)", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """A chat completion.

    Attributes:
        text: what the judge said.
        reason: why it ended (``finish_reason``).
        refusal: its refusal, where the server says so.
        first_token: log-probs of the likeliest first tokens, nats; empty if not asked for.
    """

    text: str
    reason: str
    refusal: str = ""
    first_token: Mapping[str, float] = field(default_factory=dict)


def reply_of(answer: Any) -> Reply:
    """Return what is read of a server's answer.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text, reason = message.get("content") or "", choice.get("finish_reason") or ""
        refusal = message.get("refusal") or ""
        tokens = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get(
            "top_logprobs"
        ) or []
        first = {str(each["token"]): float(each["logprob"]) for each in tokens}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the server's answer is no chat completion: {str(answer)[:200]!r}"
        ) from error
    if not isinstance(text, str):
        raise ValueError(f"the server's answer is no chat completion: {str(answer)[:200]!r}")
    return Reply(text, str(reason), str(refusal), first)


def verdict_of(
    reply: Reply, rule: Rule, *, slight: float = 0.75, needs_logprobs: bool = False
) -> Found:
    """Return the verdict in a reply.

    Thoughts are not read: what stands in ``<think>`` marks, before a closing mark that none opens,
    and behind an opening one that none closes. Several marks must agree.

    Args:
        reply: of the judge.
        rule: ``rating``: ``[[7]]``, 1 to 10; where there is none, ``Rating: [7]``, or ``[7]`` as
            the last line; ``letters``: ``[[A]]``, ``[[B]]``, ``[[C]]`` (tie); ``scale``:
            ``[[A>>B]]``, ``[[A>B]]``, ``[[A=B]]``, ``[[B>A]]``, ``[[B>>A]]``; ``names``: nothing
            but ``m`` (the first) or ``M`` (the second).
        slight: what ``A>B`` counts on the scale; ``B>A`` counts ``1 - slight``.
        needs_logprobs: of ``names``: return p(m) / (p(m) + p(M)) of the first token.
    """
    if reply.refusal or reply.reason == "content_filter":
        return REFUSED
    text = _without_thoughts(reply.text)
    if rule == "names":  # a letter is the whole reply, so that its length says nothing
        found = _by_weight(reply, text) if needs_logprobs else _by_name(text)
        if not isinstance(found, Unjudged) or needs_logprobs:
            return found
    if reply.reason == "length":
        return CUT
    if not text:
        return EMPTY_REPLY
    if rule == "names":
        return NO_VERDICT
    if rule == "rating":
        return _rating(text)
    values = _letters(text) if rule == "letters" else _levels(text, slight)
    return _only(values)


def _without_thoughts(text: str) -> str:
    for thought in _THOUGHTS:
        text = thought.sub("", text)
    return text.strip()


def _by_weight(reply: Reply, said: str) -> Found:
    if not reply.first_token:
        return NO_LOGPROBS
    if said != reply.text.strip():  # the first token is that of a thought
        return CUT if reply.reason == "length" else NO_VERDICT
    weights = {"m": 0.0, "M": 0.0}
    for token, logp in reply.first_token.items():
        if token.strip() in weights:
            weights[token.strip()] += math.exp(logp)
    total = sum(weights.values())
    return weights["m"] / total if total else NO_VERDICT


def _by_name(text: str) -> Found:
    found = _NAME.fullmatch(text)
    return float(found[1] == "m") if found else NO_VERDICT


def _letters(text: str) -> list[float]:
    return [_LETTERS[found.upper()] for found in _LETTER.findall(text)]


def _levels(text: str, slight: float) -> list[float]:
    values = []
    for left, sign, right in _SCALE.findall(text):
        if left == right:
            continue
        of_left = {">>": 1.0, ">": slight, "=": 0.5, "<": 1 - slight, "<<": 0.0}[sign]
        values.append(of_left if left == "A" else 1 - of_left)
    return values


def _rating(text: str) -> Found:
    found = _RATING.findall(text) or [
        number for pattern in _SINGLE_RATINGS for number in pattern.findall(text)
    ]
    rating = _only([float(number) for number in found])
    is_outside = not isinstance(rating, Unjudged) and not 1 <= rating <= 10
    return OUT_OF_RANGE if is_outside else rating


def _only(values: Sequence[float]) -> Found:
    if not values:
        return NO_VERDICT
    return values[0] if len(set(values)) == 1 else SEVERAL


def refusal_of(status: int | None, said: str) -> Unjudged | None:
    """Return what a refused request says of one prompt alone; None where it is about all of them.

    Args:
        status: of the server's answer.
        said: its beginning.
    """
    if status not in (400, 413, 422):
        return None
    if _TOO_LONG.search(said):
        return TOO_LONG
    return REFUSED if _FILTERED.search(said) else None
