"""The AUC of known errors, against counting all pairs of tokens."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.reports.error_detection import detect_errors

tokens = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30)


def by_counting(side: list[tuple[int, bool]]) -> float | None:
    errors = [reward for reward, is_error in side if is_error]
    others = [reward for reward, is_error in side if not is_error]
    wins = [1.0 if e < o else 0.5 * (e == o) for e, o in itertools.product(errors, others)]
    return sum(wins) / len(wins) if wins else None


@settings(deadline=None)
@given(chosen=tokens, rejected=tokens)
def test_it_is_the_share_of_pairs_in_which_the_error_is_lower(
    chosen: list[tuple[int, bool]], rejected: list[tuple[int, bool]]
) -> None:
    sides = {"chosen": chosen, "rejected": rejected}
    found = detect_errors(
        {name: np.array([r for r, _ in side], dtype=np.float32) for name, side in sides.items()},
        {name: np.array([e for _, e in side]) for name, side in sides.items()},
    )
    assert found.chosen == pytest.approx(by_counting(chosen))
    assert found.rejected == pytest.approx(by_counting(rejected))
    assert found.num_rejected == sum(e for _, e in rejected)
