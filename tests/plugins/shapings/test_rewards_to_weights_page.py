"""The page on transforms and shapings knows all of them."""

from pathlib import Path

import pytest

from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.options import option_fields

PAGE = Path(__file__).parents[3] / "docs" / "rewards-to-weights.md"
BUILT_IN = [item for item in PluginManager() if item.kind in ("transform", "shaping")]


@pytest.mark.checkout
@pytest.mark.parametrize("item", BUILT_IN, ids=lambda item: f"{item.kind} {item.name}")
def test_the_page_has_a_row_for_it_and_names_its_options(item: object) -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = [row for row in rows if row.startswith((f"| `{item.name}`", f"| `{item.name}:"))]
    assert named
    for field in option_fields(item.factory):
        assert f"`{field.name}`" in text or f"{field.name}=" in text
