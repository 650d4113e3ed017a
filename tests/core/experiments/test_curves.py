"""What is read off the curve of a cell."""

import pytest

from tgdpo_core.experiments.curves import Curve, at_matched_kl


def test_the_peak_is_the_epoch_whose_mean_over_seeds_is_best() -> None:
    curve = Curve([1.0, 2.0, 3.0], {0: [0.9, 0.6, 0.1], 1: [0.1, 0.6, 0.8]})
    # Each seed's own best would be 0.9 and 0.8; the means are 0.5, 0.6, 0.45.
    assert curve.peak(higher_is_better=True) == 2.0
    assert curve.peak(higher_is_better=False) == 3.0


def test_the_state_before_training_is_no_peak() -> None:
    curve = Curve([0.0, 1.0, 2.0], {0: [0.9, 0.5, 0.6]})
    assert curve.peak(higher_is_better=True) == 2.0
    assert Curve([0.0], {0: [0.9]}).peak(higher_is_better=True) is None


def test_of_equal_peaks_the_first_counts() -> None:
    assert Curve([1.0, 2.0], {0: [0.5, 0.5]}).peak(higher_is_better=True) == 1.0


def test_matched_kl_interpolates_for_every_seed() -> None:
    metric = Curve([0.0, 1.0, 2.0], {0: [0.3, 0.5, 0.9], 1: [0.3, 0.7, 0.5]})
    kl = Curve([0.0, 1.0, 2.0], {0: [0.0, 0.5, 1.5], 1: [0.0, 2.0, 3.0]})
    found = at_matched_kl(metric, kl, 1.0)
    assert found == pytest.approx({0: 0.7, 1: 0.5})


def test_matched_kl_is_read_where_the_level_is_first_reached() -> None:
    metric = Curve([0.0, 1.0, 2.0, 3.0], {0: [0.0, 1.0, 2.0, 3.0]})
    kl = Curve([0.0, 1.0, 2.0, 3.0], {0: [0.0, 2.0, 0.0, 2.0]})
    assert at_matched_kl(metric, kl, 1.0) == {0: 0.5}


def test_a_seed_that_never_reaches_the_level_is_left_out() -> None:
    metric = Curve([0.0, 1.0], {0: [0.3, 0.5], 1: [0.3, 0.5]})
    kl = Curve([0.0, 1.0], {0: [0.0, 0.4], 1: [0.0, 1.0]})
    assert at_matched_kl(metric, kl, 0.5) == {1: 0.4}


def test_only_evaluations_with_both_count() -> None:
    metric = Curve([0.0, 1.0, 2.0], {0: [0.0, 9.0, 1.0]})
    kl = Curve([0.0, 2.0], {0: [0.0, 1.0]})
    assert at_matched_kl(metric, kl, 0.5) == {0: 0.5}
