"""LLaMA-Factory's ``dataset_info.json``: from the name of a data set to rows and columns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.recipe.columns import FIELD_OF, plain_name

_NAME = "dataset_info.json"
_SAID = {"hf_hub_url", "file_name", "formatting", "ranking", "subset", "split", "columns", "tags"}
_MIRRORS = {"ms_hub_url", "om_hub_url"}
_ALPACA = {"prompt": "instruction", "query": "input"}
_COLUMNS = {"messages", "prompt", "query", "chosen", "rejected", "system", "history", "tools"}
_TAGS = (
    "from value human gpt observation function_call system",
    "role content user assistant observation function_call system",
)
_TAG_KEYS = "role_tag content_tag user_tag assistant_tag observation_tag function_tag system_tag"


class UnusableError(Exception):
    """A data set that cannot be named in a recipe; the message says why."""


@dataclass(frozen=True)
class DataFolder:
    """Where data sets are looked up.

    Attributes:
        base: folders that a relative ``dataset_dir`` may start from, in this order.
        given: the training pairs that the user names, whatever the file says.
    """

    base: tuple[Path, ...] = (Path(),)
    given: str | None = None

    def find(self, name: str, dataset_dir: str) -> dict[str, Any]:
        """Return the section ``data`` of a recipe for a data set.

        Raises:
            UnusableError: it is not there, or has what a recipe cannot say.
        """
        folder, entries = self._entries(dataset_dir)
        if name not in entries:
            raise UnusableError(f"{folder / _NAME} has no data set '{name}'")
        entry = entries[name]
        if not isinstance(entry, Mapping):
            raise UnusableError(f"{folder / _NAME}: '{name}' is no mapping")
        if not entry.get("ranking"):
            raise UnusableError(f"'{name}' has no pairs (no `ranking: true` in {_NAME})")
        if unknown := sorted(set(entry) - _SAID - _MIRRORS):
            raise UnusableError(f"{_NAME}: '{name}' has {unknown[0]}, which a recipe cannot say")
        if not _are_usual(entry.get("tags") or {}):
            raise UnusableError(f"{_NAME}: '{name}' has tags of its own: rename them in the rows")
        return {**_place(entry, folder, name), **_columns(entry, name)}

    def _entries(self, dataset_dir: str) -> tuple[Path, Mapping[str, Any]]:
        places = [base / Path(dataset_dir).expanduser() for base in self.base]
        for folder in places:
            try:
                text = (folder / _NAME).read_text(encoding="utf-8")
            except OSError:
                continue
            try:
                return folder, dict(json.loads(text))
            except (ValueError, TypeError) as error:
                raise UnusableError(f"{folder / _NAME} is no JSON object: {error}") from error
        looked = " or ".join(dict.fromkeys(str(place) for place in places))
        raise UnusableError(f"no {_NAME} in {looked}: what the data set is stands there")


def _place(entry: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    if url := entry.get("hf_hub_url"):
        found = {"path": url, "name": entry.get("subset"), "split": entry.get("split")}
        return {key: value for key, value in found.items() if value}
    if not (file := entry.get("file_name")):
        raise UnusableError(f"{_NAME}: '{name}' has neither hf_hub_url nor file_name")
    return {"path": str(folder / file)}


def _are_usual(tags: Mapping[str, str]) -> bool:
    """Return whether messages have names that rows are read by."""
    usual = (dict(zip(_TAG_KEYS.split(), words.split(), strict=True)) for words in _TAGS)
    return any(all(each.get(tag) == word for tag, word in tags.items()) for each in usual)


def _columns(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the map of the columns whose names do not say what they are."""
    columns: dict[str, str] = dict(entry.get("columns") or {})
    if unknown := sorted(set(columns) - _COLUMNS):
        raise UnusableError(f"{_NAME}: '{name}' has the column {unknown[0]}, not read for pairs")
    ours = {_ALPACA.get(key, key): column for key, column in columns.items()}
    found = {
        field: column
        for field, column in ours.items()
        if FIELD_OF.get(plain_name(column)) != FIELD_OF[field]
    }
    return {"columns": found} if found else {}
