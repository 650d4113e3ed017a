"""Random rows: each is refused with file and line, or all that it says is trained on.

The default is a short run; ``TGDPO_FUZZ=2000`` sets the number of rows.
"""

import ast
import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.core.data.random_rows import KNOWN, rows
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.data.sources import load_rows
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.manager import PluginManager

NUM_ROWS = int(os.environ.get("TGDPO_FUZZ", "150"))
LISTS = ("messages", "conversations", "conversation", "history", "tools")
PLUGINS = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})
WRITES_ALL = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def said(value: Any) -> Iterator[str]:
    """Yield every text that a column of a known name holds, however it is wrapped."""
    if isinstance(value, str):
        inner = unwrapped(value)
        yield from said(inner) if isinstance(inner, list | dict) else [value.strip()]
    elif isinstance(value, list):
        for item in value:
            yield from said(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("role", "from", "type"):
                yield from said(item)
    elif value is not None:
        yield str(value)


def unwrapped(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def says_nothing(value: Any) -> bool:
    """Return whether a column of messages or tools is null or blank, in JSON or JSON in JSON."""
    for _ in range(3):
        if isinstance(value, str) and value.strip():
            value = unwrapped(value.strip())
    return not (value.strip() if isinstance(value, str) else value)


def decoded(pair: Any, side: Any, tokenizer: Any) -> str:
    ids = [*pair.prompt_ids.tolist(), *pair.response(side).ids.tolist()]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def lost_texts(row: dict[str, Any], pair: Any, tokenizer: Any) -> list[tuple[str, str]]:
    whole = {side: decoded(pair, side, tokenizer) for side in ("chosen", "rejected")}
    lost = []
    for name, value in row.items():
        if name not in KNOWN:
            continue
        plain = name.lower()
        is_chosen = plain.startswith("chosen") or plain == "response_j"
        is_rejected = plain.startswith("rejected") or plain == "response_k"
        sides = [whole["chosen"]] if is_chosen else [*whole.values()]
        sides = [whole["rejected"]] if is_rejected else sides
        if plain in LISTS and says_nothing(value):
            continue
        if isinstance(value, str) and any(value.strip() in side for side in sides):
            continue  # it stands there as it was written
        lost += [(name, t) for t in said(value) if not any(t in side for side in sides)]
    return lost


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int]:
    return {"trained": 0, "refused": 0}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows.jsonl"


@pytest.fixture(scope="module")
def tokenizer(small_tokenizer: Any) -> Any:
    """A tokenizer whose template writes everything that messages hold."""
    own = copy.deepcopy(small_tokenizer)
    own.chat_template = WRITES_ALL
    return own


@settings(
    max_examples=NUM_ROWS,
    deadline=None,
    derandomize=NUM_ROWS <= 150,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(row=rows())
def test_a_random_row_is_refused_by_its_line_or_trained_on_whole(
    row: dict[str, Any], file: Path, tokenizer: Any, outcomes: dict[str, int]
) -> None:
    file.write_text("\n" + json.dumps(row), encoding="utf-8")
    report = DataReport("rows.jsonl")
    tokenized: list[Any] = []
    try:
        pairs = parse_rows(load_rows(str(file), split="train", plugins=PLUGINS), report)
        tokenized = tokenize_pairs(pairs, tokenizer, LengthLimits(10**6), report)
    except DataError as error:
        report.problems.append(str(error))
    # A file of one object without any known column may be a list of rows in an object.
    where = "rows.jsonl:2: " if row.keys() & set(KNOWN) else "rows.jsonl"
    assert len(tokenized) + len(report.problems) == 1 or where == "rows.jsonl"
    outcomes["trained" if tokenized else "refused"] += 1
    if tokenized:
        assert lost_texts(row, tokenized[0], tokenizer) == []
    else:
        assert report.problems[0].startswith(where)


def test_neither_outcome_is_rare(outcomes: dict[str, int]) -> None:
    total = sum(outcomes.values())
    if not total:
        pytest.skip("the random rows were not run in this process")
    print(outcomes)
    assert min(outcomes.values()) > 0.15 * total
