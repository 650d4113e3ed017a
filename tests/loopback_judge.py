"""A model that judges, in OpenAI's chat completions; what it thinks stands there: ``quality=7``.

FAULTS: ``bias`` is the share of pairs of answers in which it prefers the first place whatever they
are; ``says``: word in the request -> text of the reply, or JSON of the whole answer, or a list of
status and JSON; ``usage``: false leaves token counts out.
"""

import hashlib
import json
import re
from typing import Any


def answer(path: str, asked: dict[str, Any], faults: dict[str, Any]) -> tuple[int, Any]:
    """Return status and JSON: what faults say of a word in the request, or a verdict."""
    text = json.dumps(asked["messages"])
    for word, said in faults.get("says", {}).items():
        if word in text:
            if isinstance(said, list):
                return said[0], said[1]
            return 200, _completion(said, faults) if isinstance(said, str) else said
    return 200, _completion(_verdict(asked["messages"], faults), faults)


def _completion(text: str, faults: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 50}}
    counted = usage if faults.get("usage", True) else {}
    return {"object": "chat.completion", "model": "judge-0613", "choices": [choice], **counted}


def _verdict(messages: list[dict[str, str]], faults: dict[str, Any]) -> str:
    qualities = [int(q) for q in re.findall(r"quality=(\d+)", messages[-1]["content"])]
    if len(qualities) == 1:
        return f"It is what it is. Rating: [[{qualities[0]}]]"
    first, second = qualities
    numbers = re.findall(r"prompt (\d+)", messages[-1]["content"])
    digest = hashlib.blake2b(str(numbers[0]).encode(), digest_size=4).digest()
    is_biased = int.from_bytes(digest, "big") / 2**32 < faults.get("bias", 0.0)
    letter = "A" if is_biased or first > second else "B" if second > first else "C"
    system = messages[0]["content"]
    if "[[A>>B]]" in system:
        return {"A": "[[A>B]]", "B": "[[B>>A]]", "C": "[[A=B]]"}[letter]
    if "m or M" in messages[-1]["content"]:
        return {"A": "m", "B": "M", "C": "m"}[letter]
    return f"I compared them.\n\nMy verdict: [[{letter}]]"
