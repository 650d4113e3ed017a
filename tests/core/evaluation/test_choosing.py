"""Groups of models by their names, and the best of a group."""

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.choosing import best, matching

NAMES = ["base", "dpo,beta=0.1", "dpo,beta=1", "oracle"]


def test_a_pattern_takes_what_it_matches_in_order() -> None:
    assert matching(NAMES, "dpo,*") == ["dpo,beta=0.1", "dpo,beta=1"]
    assert matching(NAMES, "*") == NAMES


@pytest.mark.parametrize(
    ("pattern", "matched"), [("DPO*", "none"), ("", "none"), ("ora*", "only oracle")]
)
def test_where_there_is_no_choice_the_pattern_is_refused(pattern: str, matched: str) -> None:
    with pytest.raises(UsageError, match=rf"matches {matched}\. They are called: base, dpo"):
        matching(NAMES, pattern)


def test_the_first_of_equals_is_the_best() -> None:
    assert best({"a": 0.2, "b": 0.7, "c": 0.7, "d": 0.1}) == "b"
