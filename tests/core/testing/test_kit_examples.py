"""The examples of the kit: what authors forget, laid out as in training."""

from typing import Any

import pytest

from tgdpo_core.errors import DataError
from tgdpo_core.testing import make_examples, make_tokenizer

ROW = {"prompt": "Two plus two? ", "chosen": "4", "rejected": "five", "steps": [1.0]}


def test_they_hold_the_responses_that_authors_forget() -> None:
    examples, eos = make_examples(), make_tokenizer().eos_token_id
    by_length = {len(e.response_ids): e for e in examples if len(e.response_ids) == 1}
    assert by_length
    assert any(e.response == "" and list(e.response_ids) == [eos] for e in examples)
    single = [e for e in examples if len(e.response_ids) == 1 and e.response_ids[0] != eos]
    assert {e.response for e in single} == {"7", "8"}, "one token, no EOS"
    assert any(len(e.response_ids) < e.num_untruncated for e in examples), "truncated"
    assert any(len(e.response_ids) > 300 for e in examples), "long"
    assert any(len(set(e.offsets)) < len(e.offsets) for e in examples), "tokens share an emoji"
    assert any(not isinstance(e.prompt, str) for e in examples), "messages"
    assert any(e.response.isspace() for e in examples), "white space"
    assert {e.side for e in examples} == {"chosen", "rejected"}


def test_each_call_makes_new_ones_so_that_a_test_cannot_spoil_the_next() -> None:
    first = make_examples()
    first[0].columns["seen"] = True  # type: ignore[index]
    assert "seen" not in make_examples()[0].columns


@pytest.mark.parametrize(
    ("needs", "columns", "shared"),
    [
        ((), set(), set()),
        (("column:steps",), {"steps"}, set()),
        (("reference_logps",), set(), {"reference_logps"}),
        (("models", "policy_logps"), set(), {"policy_logps"}),
    ],
)
def test_they_carry_what_is_needed_and_no_more(
    needs: tuple[str, ...], columns: set[str], shared: set[str]
) -> None:
    for example in make_examples([ROW], needs=needs):
        assert set(example.columns) == columns
        assert set(example.shared) == shared
        for values in example.shared.values():
            assert values.shape == (len(example.response_ids),)


def test_log_probs_of_policy_and_reference_differ_and_are_not_above_zero() -> None:
    needs = ("reference_logps", "policy_logps")
    shared = [e.shared for e in make_examples(needs=needs)]
    assert all((s[name] <= 0).all() for s in shared for name in needs)
    assert any((s["reference_logps"] != s["policy_logps"]).any() for s in shared)


def test_a_column_that_is_missing_is_named_with_the_next_step() -> None:
    with pytest.raises(DataError, match=r"column 'stesp'.*Did you mean 'steps'.*rows = \[...\]"):
        make_examples([ROW], needs=("column:stesp",))


def test_a_bad_row_is_an_error() -> None:
    row: dict[str, Any] = {**ROW, "rejected": "4"}
    with pytest.raises(DataError, match="row 1"):
        make_examples([row])
