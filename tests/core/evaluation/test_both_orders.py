import json
import math
import random

import pytest

from tgdpo_core import Comparison, Generation, Unjudged
from tgdpo_core.evaluation.both_orders import BothOrders, in_both_orders, paired, position_bias

A_WINS, B_WINS, TIE = BothOrders(1.0, 0.0), BothOrders(0.0, 1.0), BothOrders(0.5, 0.5)
FIRST_PLACE, SECOND_PLACE = BothOrders(1.0, 1.0), BothOrders(0.0, 0.0)


def test_every_comparison_is_asked_about_in_both_orders():
    a, b, c = (Generation("p", text) for text in "abc")
    asked = in_both_orders([Comparison(a, b), Comparison(b, c)])
    shown = [(item.first.response, item.second.response) for item in asked]
    assert shown == [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]


def test_two_verdicts_belong_to_one_comparison():
    assert paired([1.0, 0.0, 0.5, Unjudged("no verdict")]) == [
        BothOrders(1.0, 0.0),
        BothOrders(0.5, Unjudged("no verdict")),
    ]
    with pytest.raises(ValueError, match="two verdicts a comparison, got 3"):
        paired([1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("both", "mean", "agree"),
    [
        (A_WINS, 1.0, 1.0),
        (B_WINS, 0.0, 0.0),
        (TIE, 0.5, 0.5),
        (FIRST_PLACE, 0.5, 0.5),
        (SECOND_PLACE, 0.5, 0.5),
        (BothOrders(1.0, 0.5), 0.75, 0.5),  # a win and a tie
        (BothOrders(0.75, 0.0), 0.875, 1.0),  # a slight and a clear win
        (BothOrders(0.9, 0.3), 0.8, 1.0),  # probabilities
    ],
)
def test_orders_are_combined_by_the_tie_rule(both, mean, agree):
    assert both.combined("mean") == pytest.approx(mean)
    assert both.combined("agree") == agree


@pytest.mark.parametrize("both", [BothOrders(1.0, Unjudged("a")), BothOrders(Unjudged("a"), 0.0)])
def test_one_order_alone_is_no_verdict(both):
    assert both.combined() == Unjudged("a")
    assert not both.is_judged


@pytest.mark.parametrize(
    ("both", "changed", "is_reversed"),
    [
        (A_WINS, False, False),
        (TIE, False, False),
        (FIRST_PLACE, True, True),
        (SECOND_PLACE, True, True),
        (BothOrders(1.0, 0.5), True, False),
        (BothOrders(0.75, 0.0), False, False),
    ],
)
def test_a_change_of_the_winner_is_seen(both, changed, is_reversed):
    assert (both.is_changed, both.is_reversed) == (changed, is_reversed)


def test_bias_of_a_judge_that_always_says_the_first():
    bias = position_bias([FIRST_PLACE] * 50)
    assert (bias.changed.value, bias.reversed.value, bias.first_place.value) == (1.0, 1.0, 1.0)
    assert bias.first_place.low > 0.9
    assert (bias.one_order, bias.both_orders) == (1.0, 0.5)


def test_consistent_verdicts_show_no_bias_and_few_of_them_no_certainty():
    few, many = position_bias([A_WINS] * 5), position_bias([A_WINS, B_WINS] * 500)
    assert few.first_place.value == many.first_place.value == 0.5
    assert few.changed.high > 0.4 > 0.01 > many.changed.high
    assert few.first_place.high - few.first_place.low > 0.25
    assert many.first_place.high - many.first_place.low < 0.005


def test_the_interval_of_the_preference_is_that_of_agresti_and_min():
    both = [FIRST_PLACE] * 12 + [SECOND_PLACE] * 3 + [A_WINS] * 25
    n, first, second = 40, 12, 3
    difference = (first - second) / (n + 2)  # of the proportions that the orders differ by
    se = math.sqrt((first + second + 1) - (first - second) ** 2 / (n + 2)) / (n + 2)
    bias = position_bias(both).first_place
    assert bias.low == pytest.approx(0.5 + (difference - 1.959964 * se) / 2, abs=1e-6)
    assert bias.high == pytest.approx(0.5 + (difference + 1.959964 * se) / 2, abs=1e-6)


def test_the_interval_of_a_share_is_wilsons():
    from scipy.stats import binomtest

    bias = position_bias([FIRST_PLACE] * 7 + [A_WINS] * 23)
    expected = binomtest(7, 30).proportion_ci(method="wilson")
    assert (bias.changed.low, bias.changed.high) == pytest.approx((expected.low, expected.high))


def test_comparisons_of_one_prompt_are_not_taken_for_independent():
    both = [FIRST_PLACE, A_WINS] * 20
    alone = position_bias(both)
    together = position_bias(both, [i // 4 for i in range(40)])
    assert together.changed.value == alone.changed.value
    assert together.changed.high - together.changed.low > alone.changed.high - alone.changed.low


def test_unjudged_comparisons_are_counted_and_left_out():
    bias = position_bias([A_WINS, BothOrders(1.0, Unjudged("refused")), FIRST_PLACE])
    assert (bias.num_judged, bias.num_unjudged, bias.changed.value) == (2, 1, 0.5)


def test_without_verdicts_nothing_is_said():
    written = json.dumps(position_bias([]).as_dict(), allow_nan=False)
    assert json.loads(written)["first_place"] == {"value": None, "low": None, "high": None}


def test_intervals_cover_the_preference_of_a_random_judge():
    rng, covered, runs = random.Random(3), 0, 400
    for _ in range(runs):
        # With chance .3 the first place wins whatever it holds: the truth is .5 + .3 / 2.
        both = [
            FIRST_PLACE if rng.random() < 0.3 else rng.choice((A_WINS, B_WINS)) for _ in range(60)
        ]
        share = position_bias(both).first_place
        covered += share.low <= 0.65 <= share.high
    assert 0.92 <= covered / runs <= 0.985
