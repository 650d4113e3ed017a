"""A word where other code of the same plugin has stored values before."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.store.adoption import made_by_other_code

logger = logging.getLogger(__name__)


def say_what_changed(who: str, store: Path, document: Mapping[str, Any], key: str) -> None:
    """Say that values of other code are there, and how to keep them.

    Args:
        who: how messages name the source.
        store: its folder.
        document: of the key, format included.
        key: that nothing is stored under yet.
    """
    found = made_by_other_code(store, document)
    if found:
        info, changed = found
        logger.warning(
            "%s: its code is not that which stored the values of %d pairs before "
            "(changed: %s); it scores anew. If its values are still the same, keep the old "
            "ones: tgdpo store adopt %s %s",
            who,
            info.num_entries,
            ", ".join(changed),
            info.key,
            key,
        )
