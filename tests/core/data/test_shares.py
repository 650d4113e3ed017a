"""Shares of what was changed: said with every count, an error above what the recipe allows."""

from typing import Any

import pytest

from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.shares import check_shares, share_lines
from tgdpo_core.errors import DataError
from tgdpo_core.recipe.data_section import MaxSharesSection


def report(**counts: int) -> DataReport:
    made = DataReport("rows.jsonl", num_rows=110, num_pairs=100)
    for kind, count in counts.items():
        for i in range(count):
            made.note(kind, f"rows.jsonl:{i + 1}")
    return made


# name of the setting, counts, what they are a share of, the share
CASES: dict[str, tuple[dict[str, int], str, float]] = {
    "truncated": ({"chosen_truncated": 30, "rejected_truncated": 20}, "200 responses", 0.25),
    "prompt_truncated": ({"prompt_truncated": 25}, "100 pairs", 0.25),
    "boundary_inside_prompt": ({"boundary_inside_prompt": 25}, "100 pairs", 0.25),
    "special_tokens_in_text": ({"special_tokens_in_text": 25}, "100 pairs", 0.25),
    "duplicates": ({"duplicate": 25}, "100 pairs", 0.25),
    "swapped_duplicates": ({"swapped_duplicate": 25}, "100 pairs", 0.25),
    "eval_overlap": ({"eval_overlap": 25}, "100 pairs", 0.25),
}


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_a_share_above_its_limit_names_share_limit_rows_and_setting(name: str, case: Any) -> None:
    counts, total, share = case
    below = MaxSharesSection(**{name: share - 0.01})
    with pytest.raises(DataError) as caught:
        check_shares(report(**counts), below)
    said = str(caught.value)
    assert f"{name}: {sum(counts.values())} of {total} (25.0%, first in rows.jsonl:1, " in said
    assert "allowed are 24.0%" in said
    assert f"--set data.max_shares.{name}=0.26" in said
    check_shares(report(**counts), MaxSharesSection(**{name: share}))


def test_rows_left_out_are_a_share_of_all_rows() -> None:
    made = report()
    for i in range(11):
        made.add_problem(f"rows.jsonl:{i}", RowProblem("empty", "'prompt' is empty"))
    check_shares(made, MaxSharesSection(left_out=0.1))
    with pytest.raises(DataError, match=r"left_out: 11 of 110 rows \(10\.0%\); allowed are 9\.9%"):
        check_shares(made, MaxSharesSection(left_out=0.099))


def test_every_limit_is_a_share_that_is_counted() -> None:
    assert {*CASES, "left_out"} == set(MaxSharesSection.model_fields)


def test_all_excesses_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        check_shares(report(eval_overlap=50, prompt_truncated=50), MaxSharesSection())
    assert str(caught.value).count("--set data.max_shares.") == 2


def test_nothing_is_said_of_an_empty_data_set() -> None:
    check_shares(DataReport("none"), MaxSharesSection())


def test_every_count_is_said_with_its_share() -> None:
    made = report(tokens_after_eos=50)
    made.add_problem("rows.jsonl:3", RowProblem("empty", "'prompt' is empty"))
    assert share_lines(made) == [
        "left_out: 1 (0.9% of rows)",
        "empty: 1 (0.9% of rows)",
        "tokens_after_eos: 50 (50.0% of pairs)",
    ]
