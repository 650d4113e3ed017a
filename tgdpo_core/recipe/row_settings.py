"""The recipe's settings of how rows are read, given one by one instead of in a recipe."""

from collections.abc import Mapping
from typing import get_args

from pydantic import ValidationError

from tgdpo_core.errors import did_you_mean
from tgdpo_core.recipe.columns import RowFormat, check_columns
from tgdpo_core.recipe.data_section import MaxSharesSection


def check_row_settings(
    columns: Mapping[str, str | None] | None,
    data_format: str,
    max_shares: Mapping[str, float] | None,
) -> None:
    """Raise ``ValueError`` for settings that a recipe's ``data`` would not take."""
    for name, value in (("columns", columns), ("max_shares", max_shares)):
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"'{name}' must be a dict, got {value!r}")
    check_columns(columns or {})
    formats = get_args(RowFormat)
    if data_format not in formats:
        raise ValueError(
            f"'data_format': unknown value {data_format!r}. {did_you_mean(data_format, formats)}"
        )
    try:
        MaxSharesSection(**(max_shares or {}))
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        known = did_you_mean(name, MaxSharesSection.model_fields)
        raise ValueError(f"'max_shares': {name}: {problem['msg']}. {known}") from None
