"""Answers as the rows of each benchmark's own files."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tgdpo_core.exchange.conversations import Conversation
from tgdpo_core.exchange.markdown_counts import markdown_counts
from tgdpo_core.exchange.questions import Form, Question
from tgdpo_core.generation.answers import Answer

# FastChat's llm_judge.common.temperature_config; other categories are sampled at 0.7.
MT_BENCH_TEMPERATURES: Mapping[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
    "arena-hard-200": 0.0,
}
_OTHER_TEMPERATURE = 0.7


def mt_bench_temperature(question: Question) -> float:
    """Return the temperature that FastChat draws answers of the question's category with."""
    return MT_BENCH_TEMPERATURES.get(question.category or "", _OTHER_TEMPERATURE)


def answer_file(form: Form, model: str) -> PurePosixPath:
    """Return where the benchmark looks for the answers of a model, below its own folder."""
    if form == "alpaca-eval":
        return PurePosixPath("results", model, "model_outputs.json")
    bench = "mt_bench" if form == "mt-bench" else form
    return PurePosixPath("data", bench, "model_answer", f"{model}.jsonl")


def question_file(form: Form) -> PurePosixPath | None:
    """Return where the benchmark looks for its questions; None: it downloads them."""
    return None if form == "alpaca-eval" else answer_file(form, "_").parents[1] / "question.jsonl"


def benchmark_rows(
    form: Form,
    model: str,
    conversations: Sequence[Conversation],
    *,
    time: float,
    length: Callable[[Answer], int],
) -> list[dict[str, Any]]:
    """Return the rows of a benchmark's file of answers.

    Args:
        form: whose file, and of which version.
        model: its name in the file.
        conversations: questions and answers.
        time: of the export, seconds since 1970.
        length: of an answer in tokens; only Arena-Hard keeps it.
    """
    if form == "alpaca-eval":
        return alpaca_rows(model, conversations)
    if form == "mt-bench":
        return mt_bench_rows(model, conversations, time)
    if form == "arena-hard-v0.1":
        return arena_v01_rows(model, conversations, time, length)
    return arena_v2_rows(model, conversations, time, length)


def alpaca_rows(model: str, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
    """Return the rows of AlpacaEval's ``model_outputs.json``; answers are stripped of spaces."""
    return [
        {
            **({"dataset": c.question.row["dataset"]} if "dataset" in c.question.row else {}),
            "instruction": c.question.turns[0],
            "output": c.choices[0][0].text.strip(),
            "generator": model,
        }
        for c in conversations
    ]


def mt_bench_rows(
    model: str, conversations: Sequence[Conversation], time: float
) -> list[dict[str, Any]]:
    """Return the lines of FastChat's ``model_answer/MODEL.jsonl``, sorted by question."""
    rows = [
        _row(model, c, [[answer.text.strip() for answer in answers] for answers in c.choices], time)
        for c in conversations
    ]
    return sorted(rows, key=lambda row: (isinstance(row["question_id"], str), row["question_id"]))


def arena_v01_rows(
    model: str,
    conversations: Sequence[Conversation],
    time: float,
    length: Callable[[Answer], int],
) -> list[dict[str, Any]]:
    """Return the lines of Arena-Hard v0.1's ``model_answer/MODEL.jsonl``."""

    def turn(answer: Answer) -> dict[str, Any]:
        return {"content": answer.text.strip(), "token_len": length(answer)}

    return [
        {
            **_row(model, c, [[turn(answer) for answer in answers] for answers in c.choices], time),
            **({"conv_metadata": _style(c, length)} if len(c.answers) == 1 else {}),
        }
        for c in conversations
    ]


def _row(
    model: str, conversation: Conversation, turns: Sequence[Sequence[Any]], time: float
) -> dict[str, Any]:
    """Return what the files of FastChat and of Arena-Hard v0.1 share."""
    return {
        "question_id": conversation.question.id,
        "answer_id": _answer_id(model, conversation),
        "model_id": model,
        "choices": [{"index": i, "turns": [*answers]} for i, answers in enumerate(turns)],
        "tstamp": time,
    }


def arena_v2_rows(
    model: str,
    conversations: Sequence[Conversation],
    time: float,
    length: Callable[[Answer], int],
) -> list[dict[str, Any]]:
    """Return the lines of Arena-Hard v2's ``model_answer/MODEL.jsonl``."""
    return [
        {
            "uid": c.question.id,
            "ans_id": _answer_id(model, c),
            "model": model,
            "messages": [
                *c.prompts[0][0],
                {"role": "assistant", "content": {"answer": c.choices[0][0].text.strip()}},
            ],
            "tstamp": time,
            "metadata": _style(c, length),
        }
        for c in conversations
    ]


def _style(conversation: Conversation, length: Callable[[Answer], int]) -> dict[str, Any]:
    """Return length and Markdown of the only answer; Arena-Hard sums all that stands here."""
    (answer,) = conversation.choices[0]
    return {"token_len": length(answer), **markdown_counts(answer.text.strip())}


def _answer_id(model: str, conversation: Conversation) -> str:
    """Return an id that the same answers always get, 22 digits as those of FastChat."""
    content = [model, conversation.question.id, [answer.text for answer in conversation.answers]]
    text = json.dumps(content, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=11).hexdigest()
