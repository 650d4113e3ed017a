"""Statistics over seeds, against numbers computed by hand and by scipy."""

import numpy as np
import pytest
from scipy import stats

from tgdpo_core.experiments.statistics import Difference, estimate, paired_difference


def difference(*values: float) -> Difference:
    """Return the difference to a baseline of zeros."""
    found = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))
    assert found is not None
    return found


def test_the_standard_error_is_that_of_the_sample() -> None:
    found = estimate({0: 1.0, 1: 2.0, 2: 6.0})
    assert found is not None
    assert (found.mean, found.n) == (3.0, 3)
    assert found.standard_error == pytest.approx((7 / 3) ** 0.5)  # variance 7, three seeds


def test_one_seed_has_no_standard_error() -> None:
    found = estimate({4: 0.5})
    assert found is not None
    assert (found.mean, found.standard_error, found.n) == (0.5, None, 1)


def test_values_that_are_not_finite_do_not_count() -> None:
    found = estimate({0: 1.0, 1: float("nan")})
    assert found is not None
    assert (found.mean, found.n) == (1.0, 1)
    assert estimate({0: float("nan")}) is None


def test_differences_are_taken_seed_by_seed() -> None:
    found = paired_difference({0: 0.5, 1: 0.9, 2: 0.1}, {1: 0.7, 0: 0.4, 5: 0.0})
    assert found is not None
    assert found.estimate.n == 2  # seeds 0 and 1: 0.1 and 0.2
    assert found.estimate.mean == pytest.approx(0.15)
    assert found.estimate.standard_error == pytest.approx(0.05)


def test_cells_without_a_common_seed_have_no_difference() -> None:
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_the_interval_is_the_bca_bootstrap_of_scipy() -> None:
    values = [0.10, 0.13, 0.02, 0.21, 0.09, 0.16]
    found = difference(*values)
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (found.low, found.high) == (interval.low, interval.high)


def test_the_interval_is_the_same_in_every_call() -> None:
    assert difference(0.1, 0.3, 0.2) == difference(0.1, 0.3, 0.2)


def test_the_p_value_is_that_of_the_paired_t_test() -> None:
    found = difference(0.10, 0.13, 0.02, 0.21)
    assert found.p_value == pytest.approx(stats.ttest_1samp([0.10, 0.13, 0.02, 0.21], 0).pvalue)


def test_with_two_seeds_the_interval_is_their_range() -> None:
    found = difference(0.1, 0.3)
    assert (found.low, found.high) == (0.1, 0.3)


def test_where_bca_is_not_defined_the_interval_is_of_percentiles() -> None:
    with pytest.warns(stats.DegenerateDataWarning), np.errstate(invalid="ignore"):
        bca = stats.bootstrap(
            ([0.0, 1e-200],), np.mean, method="BCa", rng=np.random.default_rng(0)
        ).confidence_interval
    assert np.isnan(bca.low)
    found = difference(0.0, 1e-200)
    assert (found.low, found.high) == (0.0, 1e-200)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.11, 0.13, 0.12, 0.10), "above"),
        ((-0.11, -0.13, -0.12, -0.10), "below"),
        ((0.11, -0.13, 0.12, -0.10), "not distinguishable"),
        ((0.3,), "undecided (one seed)"),
        ((0.0, 0.0, 0.0), "not distinguishable"),
        ((0.25, 0.25, 0.25), "above"),
        ((0.25, 0.25), "not distinguishable"),
    ],
)
def test_the_verdict_follows_the_differences(values: tuple[float, ...], verdict: str) -> None:
    assert difference(*values).verdict == verdict


def test_two_seeds_of_one_sign_are_not_enough() -> None:
    found = difference(0.1, 0.3)
    assert found.low is not None
    assert found.low > 0  # the bootstrap alone would call it above
    assert found.verdict == "not distinguishable"


def test_the_verdict_seldom_errs_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    verdicts = [difference(*rng.normal(size=3)).verdict for _ in range(60)]
    assert verdicts.count("not distinguishable") >= 54  # 5 % expected; the bootstrap errs in 25 %
