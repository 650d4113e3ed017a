"""Scores in three protocols: plain JSON, and vLLM's ``/pooling`` and ``/score``.

FAULTS: ``wrong`` (JSON, or text that is none) is answered where ``word`` stands in the request.
"""

import json
from typing import Any


def answer(path: str, asked: dict[str, Any], faults: dict[str, Any]) -> tuple[int, Any]:
    """Return status and JSON: the scores, or the wrong answer that faults ask for."""
    if faults.get("word", "\0") in json.dumps(asked):
        return 200, faults["wrong"]
    return 200, _scores(path, asked)


def _scores(path: str, asked: dict[str, Any]) -> Any:
    if path == "/pooling":
        if isinstance(asked.get("input"), list):
            return {"data": [{"data": [[i / 1000] for i in asked["input"]]}]}
        text = asked["input"] if "input" in asked else asked["messages"][-1]["content"]
        steps = text.split("<extra_0>")[:-1]
        return {"data": [{"data": [[1 - _value(s), _value(s)] for s in steps]}]}
    if path == "/score":
        return {"data": [{"index": i, "score": _value(t)} for i, t in enumerate(asked["text_2"])]}
    if asked.get("steps"):
        return {"scores": [_value(step) for step in asked["steps"]]}
    return {"score": _value(asked["response"])}


def _value(text: str) -> float:
    """Return a score of a text in [0, 1): the share of letters e."""
    return text.count("e") / (1 + len(text))
