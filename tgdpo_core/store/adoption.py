"""Values that were stored by other code of the same plugin: found, and taken over on request."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.store.catalogue import (
    CollectionInfo,
    differences,
    find_collection,
    list_collections,
)
from tgdpo_core.store.collection import Collection
from tgdpo_core.store.entry_index import Entry

_CODE = ("plugin.source", "plugin.version", "plugin.declared", "store_version")
_BATCH = 4096  # entries copied at a time


def is_of_code(name: str) -> bool:
    """Return whether a dotted name of a key's document says which code made the values."""
    return name in _CODE or name.startswith("plugin.source.")


def made_by_other_code(
    root: Path, document: Mapping[str, Any]
) -> tuple[CollectionInfo, list[str]] | None:
    """Return the newest collection that differs from a key's document in the code alone.

    Returns:
        The collection, and what of the code differs; None if there is none.
    """
    for info in list_collections(root):
        if info.document.get("kind") != document.get("kind") or not info.num_entries:
            continue
        names = [name for name, _, _ in differences(info.document, document)]
        if names and all(is_of_code(name) for name in names):
            return info, [name.removeprefix("plugin.").removeprefix("source.") for name in names]
    return None


def adopt(root: Path, old: str, new: str) -> int:
    """Copy the values under one key to another that differs from it in the code alone.

    Args:
        root: folder of the store.
        old: key whose values are taken.
        new: key under which they are kept, too.

    Returns:
        How many entries were copied; those that were there already are not counted.

    Raises:
        UsageError: no such key, or they differ in more than the code.
    """
    source, target = find_collection(root, old), find_collection(root, new)
    others = [
        name for name, _, _ in differences(source.document, target.document) if not is_of_code(name)
    ]
    if others or source.key == target.key:
        raise UsageError(
            f"{old} and {new} must differ in the code of one plugin and in nothing else; they "
            f"differ in {', '.join(others) or 'nothing'}. See: tgdpo store explain {old} {new}"
        )
    taken, kept = Collection(root, source.document), Collection(root, target.document)
    entries = [entry for entry in taken.entries() if entry.name not in kept]
    try:
        for start in range(0, len(entries), _BATCH):
            part = entries[start : start + _BATCH]
            kept.add(
                [e.name for e in part], [torch.from_numpy(taken.read(Entry(*e))) for e in part]
            )
    finally:
        kept.close()
    return len(entries)
