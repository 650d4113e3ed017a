"""Diagnostics of scored pairs."""

import json
from collections.abc import Callable

import pytest

from tgdpo_core.reports.diagnostics import diagnose
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]


def test_each_side_of_the_weights_is_described_apart(scored_pair: Make) -> None:
    found = diagnose([scored_pair([1.0, 0.0], [1.0]), scored_pair([1.0], [0.0, -1.0])], [("r", [])])
    assert found.num_pairs == 2
    assert found.chosen.mean == pytest.approx((1.5 + 1 + 1.5) / 3)
    assert found.rejected.mean == pytest.approx((0.5 + 1 + 1.5) / 3)
    assert found.weight_ratio == pytest.approx(4 / 3)


def test_a_single_source_is_the_sum_and_listed_once(scored_pair: Make) -> None:
    found = diagnose([scored_pair([1.0], [0.0])], [("oracle", [])])
    assert [reward.name for reward in found.rewards] == ["oracle"]
    assert found.rewards[0].mean == 0.5


def test_several_sources_are_listed_before_their_sum(scored_pair: Make) -> None:
    first, second = scored_pair([1.0], [0.0]), scored_pair([2.0], [-2.0])
    found = diagnose([scored_pair([3.0], [-2.0])], [("a", [first]), ("b", [second])])
    assert [(r.name, r.mean_chosen) for r in found.rewards] == [("a", 1), ("b", 2), ("sum", 3)]


def test_a_sign_of_one_source_is_found_though_the_sum_has_none(scored_pair: Make) -> None:
    total = scored_pair([1.0, 0.0], [0.0, -1.0])
    tiny = scored_pair([1e-6, 0.0], [0.0, -1e-6])
    found = diagnose([total], [("good", [total]), ("tiny", [tiny])])
    assert ("reward-scale", "tiny:") in [(w.code, w.message[:5]) for w in found.warnings]


def test_constant_rewards_warn_of_no_variance(scored_pair: Make) -> None:
    found = diagnose([scored_pair([0.4, 0.4], [0.4])], [("flat", [])])
    assert [warning.code for warning in found.warnings] == ["no-variance"]
    assert found.rewards[0].pair_correlation is None


def test_the_ratio_is_left_open_where_mean_f_l_is_zero(scored_pair: Make) -> None:
    found = diagnose([scored_pair([1.0], [1.0], weights=[1.0, 0.0])], [("r", [])])
    assert found.weight_ratio is None


def test_diagnostics_are_json(scored_pair: Make) -> None:
    found = diagnose([scored_pair([1.0, 0.5], [0.0])], [("r", [])]).as_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["rewards"][0]["quantiles"]["1.0"] == 1.0
    assert json.loads(text)["weight_ratio"] == pytest.approx(1.375)
