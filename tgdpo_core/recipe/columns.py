"""What the columns of a data set may be called, and the map of ``data.columns``."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from tgdpo_core.errors import did_you_mean

RowFormat = Literal["auto", "explicit", "implicit", "sharegpt", "instruction"]

NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "messages": ("messages", "conversations", "conversation", "dialogue", "dialog"),
    "instruction": ("instruction", "instructions"),
    "question": (
        "question",
        "query",
        "user_prompt",
        "user_input",
        "user_message",
        "user_query",
        "problem",
    ),
    "input": ("input", "context"),
    "system": (
        "system",
        "system_prompt",
        "system_message",
        "system_instruction",
        "sys_prompt",
    ),
    "history": ("history", "chat_history", "conversation_history"),
    "tools": ("tools", "functions"),
    "chat_template_kwargs": ("chat_template_kwargs",),
    "chosen": (
        "chosen",
        "chosen_response",
        "response_chosen",
        "chosen_output",
        "chosen_answer",
        "response_j",
        "preferred",
        "preferred_response",
        "preferred_output",
        "accepted",
    ),
    "rejected": (
        "rejected",
        "rejected_response",
        "response_rejected",
        "rejected_output",
        "rejected_answer",
        "response_k",
        "dispreferred",
        "dispreferred_response",
        "non_preferred_output",
    ),
    "chosen_finished": ("chosen_finished",),
    "rejected_finished": ("rejected_finished",),
    "media": ("image", "images", "video", "videos", "audio", "audios"),
}
"""What a row may hold, and the columns that are read as it, the usual name first."""

FIELD_OF = {name: field for field, names in NAMES.items() for name in names}
"""The field that a column of this name is."""


@lru_cache(maxsize=4096)
def plain_name(column: str) -> str:
    """Return a column's name as it is compared: lower case, words joined by underscores."""
    return re.sub(r"[\s\-]+", "_", column.strip()).casefold()


def check_columns(columns: Mapping[str, str | None]) -> None:
    """Raise ``ValueError`` for a map of columns whose fields are not known."""
    taken: dict[str, str] = {}
    for name, column in columns.items():
        if column is None:
            continue
        if plain_name(name) not in FIELD_OF:
            raise ValueError(f"'{name}' is no field of a row. {did_you_mean(name, NAMES)}")
        if column in taken:
            raise ValueError(f"the column '{column}' is named for '{taken[column]}' and '{name}'")
        taken[column] = name
    fields = [FIELD_OF[plain_name(name)] for name, column in columns.items() if column is not None]
    if twice := sorted({name for name in fields if fields.count(name) > 1}):
        raise ValueError(f"two columns are named for '{twice[0]}'")
