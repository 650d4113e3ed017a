"""Counts of Markdown that Arena-Hard's style control reads, of an answer without its code."""

import re
from typing import Any

_CODE = re.compile(r"```([^`]*)```")


def markdown_counts(text: str) -> dict[str, Any]:
    """Return headers by level, list items and bold spans, under the names of Arena-Hard.

    Source: Arena-Hard-Auto, ``add_markdown_info``: what stands between three backticks is left out
    wherever it occurs, then lines and spans are counted.
    """
    for block in _CODE.findall(text):
        text = text.replace(block, "")

    def lines(pattern: str) -> int:
        return len(re.findall(rf"^{pattern}\s", text, re.MULTILINE))

    return {
        "header_count": {f"h{level}": lines(f"#{{{level}}}") for level in range(1, 7)},
        "list_count": {"ordered": lines(r"\s*\d+\."), "unordered": lines(r"\s*[-*+]")},
        "bold_count": {
            "**": len(re.findall(r"\*\*[^*\n]+\*\*", text)),
            "__": len(re.findall(r"__[^_\n]+__", text)),
        },
    }
