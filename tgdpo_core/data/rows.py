"""What a source gives: rows with their places, and lines with their numbers."""

from collections.abc import Mapping
from typing import Any

from tgdpo_core.data.report import RowProblem

Row = tuple[str, Mapping[str, Any] | RowProblem]
"""``where`` (for messages) and the row, or what is wrong with it."""

Line = tuple[int, str]
"""The number of a line, from 1, and its text with the line break."""
