"""The numbers that the browser sorts and filters by, against arithmetic written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tgdpo_core.reports.browser.numbers import SIGNS, PairSource, pair_numbers
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]
Source = Callable[..., PairSource]


def signs_of(found: int) -> set[str]:
    return {name for bit, name in enumerate(SIGNS) if found >> bit & 1}


def test_rewards_and_weights_of_a_pair(scored_pair: Make, make_source: Source) -> None:
    found = pair_numbers(make_source([scored_pair([1.0, 0.0], [-2.0, 1.0, 1.0])]))
    values = {name: column[0] for name, column in found.columns.items()}
    assert values == pytest.approx(
        {
            "number": 0,
            "gap": 0.5,
            "mean": 0.2,
            "mean_chosen": 0.5,
            "mean_rejected": 0.0,
            "largest": 2.0,
            "weight_gap": 1.25 - 1.0,
            "tokens": 5,
        }
    )


def test_the_disagreement_is_that_of_rewards_on_one_scale(
    scored_pair: Make, make_source: Source
) -> None:
    a = [scored_pair([1.0, -1.0], [1.0]), scored_pair([1.0, 1.0], [-1.0])]
    b = [scored_pair([3.0, -3.0], [3.0]), scored_pair([3.0, -3.0], [3.0])]
    found = pair_numbers(make_source(a, {"a": a, "b": b}))
    assert found.rms == pytest.approx([1.0, 3.0])
    # The second pair differs by 2 on two of its three tokens.
    assert found.columns["disagreement"] == pytest.approx([0.0, np.sqrt(8 / 3)], abs=1e-6)


def test_of_three_rewards_the_two_that_differ_most_count(
    scored_pair: Make, make_source: Source
) -> None:
    a, b = scored_pair([1.0], [1.0]), scored_pair([-1.0], [-1.0])
    found = pair_numbers(make_source([a], {"x": [a], "y": [a], "z": [b]}))
    assert found.columns["disagreement"] == pytest.approx([2.0])


def test_a_reward_of_zeros_disagrees_without_a_division_by_zero(
    scored_pair: Make, make_source: Source
) -> None:
    a, b = scored_pair([1.0], [1.0]), scored_pair([0.0], [0.0])
    found = pair_numbers(make_source([a], {"a": [a], "b": [b]}))
    assert found.columns["disagreement"] == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("chosen", "rejected", "weights", "expected"),
    [
        ([1.0], [-1.0], [1.5, 0.5], set()),
        ([-1.0], [1.0], [1.5, 0.5], {"against"}),
        ([1.0], [-1.0], [1.5, -0.5], {"sign-flips"}),
        ([1.0], [-1.0], [0.5, 1.5], {"displacement"}),
    ],
)
def test_signs_are_those_of_the_pair(
    scored_pair: Make,
    make_source: Source,
    chosen: list[float],
    rejected: list[float],
    weights: list[float],
    expected: set[str],
) -> None:
    pair = scored_pair(chosen, rejected, weights=weights)
    found = pair_numbers(make_source([pair]))
    # One token a side: the weights of a side cannot vary.
    assert signs_of(int(found.signs[0])) - {"negligible"} == expected


def test_weights_that_vary_are_not_negligible(scored_pair: Make, make_source: Source) -> None:
    flat = scored_pair([1.0, 1.0], [0.0], weights=[1.001, 1.0, 1.0])
    steep = scored_pair([1.0, 1.0], [0.0], weights=[1.5, 1.0, 1.0])
    found = pair_numbers(make_source([flat, steep]))
    assert ["negligible" in signs_of(int(s)) for s in found.signs] == [True, False]
    assert found.found["negligible"] == 1


def test_marked_errors_are_counted_and_compared_with_the_other_tokens(
    scored_pair: Make, make_source: Source
) -> None:
    pairs = [scored_pair([1.0, 3.0], [-1.0]), scored_pair([0.0], [1.0])]

    def errors(some: Any) -> Any:
        assert len(some) == 2
        return {"chosen": np.array([False, True, False]), "rejected": np.array([False, False])}

    found = pair_numbers(make_source(pairs, errors=errors))
    assert found.columns["errors"].tolist() == [1, 0]
    assert found.columns["error_gap"][0] == pytest.approx(3.0)
    assert np.isnan(found.columns["error_gap"][1])
    assert ["wrong-way" in signs_of(int(s)) for s in found.signs] == [True, False]


def test_without_marks_there_is_no_column_of_them(scored_pair: Make, make_source: Source) -> None:
    found = pair_numbers(make_source([scored_pair([1.0], [0.0])]))
    assert not {"errors", "error_gap", "disagreement"} & set(found.columns)


def test_pairs_are_shown_in_whole_parts_and_in_order(
    many: list[ScoredPair], make_source: Source
) -> None:
    seen: list[list[int]] = []
    source = make_source(many)
    pair_numbers(source, per_part=20, observe=lambda some: seen.append([e.row for e in some]))
    assert [row for part in seen for row in part] == list(range(45))
    assert all(len(part) % 20 == 0 for part in seen[:-1])
