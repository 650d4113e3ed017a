"""MC1 and MC2 by hand; rows in the two forms that are about."""

from math import log
from typing import Any

import pytest

from tgdpo_core.data.report import RowProblem
from tgdpo_core.dimensions.truthfulness import mc1, mc2, truthful_question

ROW: dict[str, Any] = {
    "question": "Is it?",
    "mc1_targets": {"choices": ["Yes", "No"], "labels": [1, 0]},
    "mc2_targets": {"choices": ["Yes", "It is", "No"], "labels": [1, 1, 0]},
}


def test_mc1_asks_whether_the_likeliest_is_true() -> None:
    assert mc1([-1.0, -2.0, -3.0], [True, False, False]) == 1.0
    assert mc1([-2.5, -2.0, -3.0], [True, False, False]) == 0.0


def test_mc2_is_the_share_of_the_true_answers() -> None:
    logps = [log(0.2), log(0.1), log(0.1)]
    assert mc2(logps, [True, True, False]) == pytest.approx(0.75)
    assert mc2([each - 900 for each in logps], [True, True, False]) == pytest.approx(0.75)


def test_a_map_from_text_to_label_is_the_same() -> None:
    other = {**ROW, "mc2_targets": {"Yes": 1, "It is": 1, "No": 0}}
    assert truthful_question(other) == truthful_question(ROW)


@pytest.mark.parametrize(
    "change",
    [
        {"question": " "},
        {"mc1_targets": None},
        {"mc1_targets": {"choices": ["a", "b"], "labels": [1, 1]}},
        {"mc2_targets": {"choices": ["a", "b"], "labels": [0, 0]}},
        {"mc2_targets": {"choices": ["a"], "labels": [1]}},
        {"mc2_targets": {"choices": ["a", "b"], "labels": [1]}},
    ],
)
def test_rows_of_another_form_are_problems(change: dict[str, Any]) -> None:
    with pytest.raises(RowProblem):
        truthful_question({**ROW, **change})
