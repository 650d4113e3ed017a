"""A class of a notebook is told from the one that was edited after it."""

import subprocess
import sys

import pytest

_SESSION = """
from tgdpo_core import TokenReward, Spans, option
{before}
def helper(text):
    return {helper}
class Mine(TokenReward):
    size: float = option(1.0, help="size")
    {member}
    def score(self, batch):
        return [[helper(e.response) * WORDS[0] * {factor}] for e in batch]
from tgdpo_core.plugin_api.source_identity import source_of
from tgdpo_core.preparation.prepared import _class
print(source_of(Mine, "/"), _class(Mine()))
"""
_AS_IS = {"before": "WORDS = [2]", "helper": "len(text)", "member": "unit = 1", "factor": "1"}


def identity(**changes: str) -> str:
    """Return what names the class, in a session of its own that reads standard input."""
    code = _SESSION.format(**{**_AS_IS, **changes})
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def as_is() -> str:
    return identity()


def test_the_same_class_has_the_same_name_in_every_session(as_is: str) -> None:
    assert identity() == as_is
    assert len(as_is.split()[0]) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"factor": "3"},
        {"helper": "-len(text)"},
        {"before": "WORDS = [5]"},
        {"member": "unit = 2"},
    ],
)
def test_an_edit_of_what_decides_its_values_gives_it_another(
    change: dict[str, str], as_is: str
) -> None:
    changed = identity(**change).split()
    assert all(new != old for new, old in zip(changed[::2], as_is.split()[::2], strict=True))
