"""The benchmark of growth: its data, and what its cost model says."""

from collections.abc import Sequence

import pytest

from benchmarks import cost_model, scale, scale_data

pytestmark = pytest.mark.checkout


def test_no_two_short_rows_are_alike() -> None:
    rows = [tuple(row.values()) for row in scale_data.short_rows(2000)]
    assert len(set(rows)) == 2000
    assert list(scale_data.short_rows(3)) == list(scale_data.short_rows(2000))[:3]


def test_costs_grow_with_pairs_and_diagnosing_stops_growing() -> None:
    small, large = (
        cost_model.stages(cost_model.Workload(pairs), cost_model.Rates()) for pairs in (1e4, 1e6)
    )
    ratios = {name: large[name] / small[name] for name in small}
    assert ratios.pop("diagnose") == pytest.approx(2)
    assert ratios == pytest.approx(dict.fromkeys(ratios, 100))


def test_a_prediction_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: Sequence[str] = ["predict", "--pairs", "1e7", "--parameters", "70e9"]
    scale.main(arguments)
    printed = capsys.readouterr().out
    assert "130 GiB (does not fit)" in printed
    assert "42.4 h" in printed
