"""The scripts of the site lie beside its pages, not in a package."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "docs" / "_site"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the scripts by name, and see the built-in plugins only."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("TGDPO_LOAD_PLUGINS", "")
