"""S5: names in the model card are text, whatever they hold."""

from typing import Any

import pytest

from tgdpo_core import TGDPOConfig
from tgdpo_core.training.model_card import model_card

EVIL = "x`\n# INJECTED\n<script>alert(1)</script> | [a](b) \x1b[2J"


@pytest.fixture
def facts() -> dict[str, Any]:
    """What run.json would say of a run with such a data set and model."""
    return {
        "model": EVIL,
        "dataset": EVIL,
        "reward_sources": [{"name": "none"}],
        "shaping": {"name": "linear", "options": {"note": EVIL}},
        "diagnostics": {"num_pairs": 1},
    }


def test_S5_names_make_no_heading_no_tag_and_no_code_span(
    facts: dict[str, Any], tmp_path: Any
) -> None:
    card = model_card(EVIL, TGDPOConfig(output_dir=str(tmp_path), use_cpu=True), facts, {})
    body = card.split("---\n", 2)[2]
    lines = body.splitlines()
    assert not any(line.startswith("# INJECTED") for line in lines)
    assert "\x1b" not in body
    outside = [part for line in lines for part in line.split("`")[::2]]
    assert not any("<script" in part for part in outside)
    assert not any("[a](b)" in part for part in outside)
