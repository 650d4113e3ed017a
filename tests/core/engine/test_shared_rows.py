"""The layout of shared rows: who sees whom, and that nothing else decides a number."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.engine import attention
from tgdpo_core.engine.layout import Layout
from tgdpo_core.engine.rows import PairIds, pad_pairs, plan_padded_rows, plan_rows, share_pairs

lengths = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))


def seen_by_definition(sizes: list[tuple[int, int, int]], window: int | None) -> torch.Tensor:
    """Return [T, T] bool written out from the rule: own pair, not the other response, the past."""
    kinds = [
        (pair, part, position)
        for pair, (p, c, r) in enumerate(sizes)
        for part, count, start in (("prompt", p, 0), ("chosen", c, p), ("rejected", r, p))
        for position in range(start, start + count)
    ]
    rows = []
    for pair, part, position in kinds:
        rows.append(
            [
                other_pair == pair
                and other_part in ("prompt", part)
                and other <= position
                and (window is None or position - other < window)
                for other_pair, other_part, other in kinds
            ]
        )
    return torch.tensor(rows)


def attend(query, key, value, seen):
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value


def layout_of(sizes: list[tuple[int, int, int]]) -> Layout:
    return Layout(sizes)


@settings(deadline=None, max_examples=40)
@given(st.lists(lengths, min_size=1, max_size=3), st.sampled_from([None, 1, 3]))
def test_segments_attend_to_what_the_rule_says(sizes, window) -> None:
    total = sum(map(sum, sizes))
    q, k, v = (torch.randn(1, heads, total, 4) for heads in (2, 1, 1))
    module = torch.nn.Module()
    row = attention.Segments().bind(layout_of(sizes), q.device)
    found, _ = attention.shared_attention(
        module, q, k, v, None, sliding_window=window, tgdpo_attention=row
    )
    expected = attend(
        q, k.expand(-1, 2, -1, -1), v.expand(-1, 2, -1, -1), seen_by_definition(sizes, window)
    )
    assert torch.allclose(found.transpose(1, 2), expected, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(lengths, min_size=1, max_size=3), st.sampled_from([None, 1, 3]))
def test_the_plan_of_variable_length_kernels_attends_to_the_same(sizes, window) -> None:
    """The kernel itself needs a GPU; what it is told is checked by doing it in plain torch."""
    total = sum(map(sum, sizes))
    q, k, v = (torch.randn(1, 2, total, 4) for _ in range(3))
    plan = layout_of(sizes).varlen(torch.device("cpu"))
    keys, values = k[:, :, plan.key_index], v[:, :, plan.key_index]
    outputs = []
    for i in range(len(plan.cu_queries) - 1):
        a, b = plan.cu_queries[i], plan.cu_queries[i + 1]
        c, d = plan.cu_keys[i], plan.cu_keys[i + 1]
        distance = torch.arange(d - c)[(d - c) - (b - a) :, None] - torch.arange(d - c)
        seen = (distance >= 0) & (distance < (window or total))
        outputs.append(attend(q[:, :, a:b], keys[:, :, c:d], values[:, :, c:d], seen))
    expected = attend(q, k, v, seen_by_definition(sizes, window))
    assert torch.allclose(torch.cat(outputs, 2), expected, atol=1e-5)


def test_a_tail_rounds_a_row_up_and_belongs_to_no_pair() -> None:
    pairs = [PairIds([5, 6], [7, 8, 9], [10, 11]), PairIds([12], [13], [14])]
    plain, round_ = share_pairs(pairs), share_pairs(pairs, multiple=8)
    assert round_.input_ids.tolist() == [[*plain.input_ids[0].tolist(), *[0] * 6]]
    assert round_.position_ids.tolist() == [[*plain.position_ids[0].tolist(), *[0] * 6]]
    for name in ("source", "targets", "pair_ids", "is_chosen"):
        assert torch.equal(getattr(round_, name), getattr(plain, name))
    assert (round_.num_tokens, round_.num_separate) == (10, 13)
    assert round_.layout.segments[:-1] == plain.layout.segments
    assert share_pairs(pairs, multiple=5).layout.tail == 0


def test_positions_of_rejected_go_on_after_the_prompt() -> None:
    row = share_pairs([PairIds([5, 6], [7, 8, 9], [10, 11]), PairIds([12], [13], [14])])
    assert row.input_ids.tolist() == [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 2, 3, 0, 1, 1]]
    assert row.source.tolist() == [1, 2, 3, 1, 5, 7, 7]
    assert row.targets.tolist() == [7, 8, 9, 10, 11, 13, 14]
    assert (row.num_tokens, row.num_separate) == (10, 13)


def test_both_layouts_say_the_same_of_the_response_tokens() -> None:
    pairs = [PairIds([5, 6], [7, 8, 9], [10, 11]), PairIds([12], [13], [14])]
    shared, padded = share_pairs(pairs), pad_pairs(pairs)
    for name in ("targets", "pair_ids", "is_chosen"):
        assert torch.equal(getattr(shared, name), getattr(padded, name))


def first_fit_decreasing(sizes: list[int], budget: int) -> list[list[int]]:
    """Return the rows by looking at every one of them for every item."""
    rows, room = [], []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        fits = [row for row, free in enumerate(room) if free >= sizes[index]]
        if fits:
            rows[fits[0]].append(index)
            room[fits[0]] -= sizes[index]
        else:
            rows.append([index])
            room.append(budget - sizes[index])
    return rows


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 80))
def test_rows_are_those_of_first_fit_decreasing(sizes, budget) -> None:
    assert plan_rows(sizes, budget) == first_fit_decreasing(sizes, budget)


@pytest.mark.parametrize("mean", [60, 250, 921])
def test_a_hundred_thousand_pairs_are_planned_in_a_second(mean: int) -> None:
    sizes = np.random.default_rng(0).lognormal(np.log(mean), 0.6, 100_000).astype(int).tolist()
    start = time.process_time()
    rows = plan_rows(sizes, 8192)
    assert time.process_time() - start < 1
    assert sum(map(len, rows)) == len(sizes)
    assert len(rows) <= 1.02 * sum(sizes) / 8192 + 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(10, 80))
def test_packing_keeps_every_pair_once_and_the_budget(sizes, budget) -> None:
    rows = plan_rows(sizes, budget)
    assert sorted(i for row in rows for i in row) == list(range(len(sizes)))
    for row in rows:
        assert len(row) == 1 or sum(sizes[i] for i in row) <= budget


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(10, 300))
def test_padded_rows_keep_every_pair_once_and_the_budget_with_padding(sizes, budget) -> None:
    rows = plan_padded_rows(sizes, budget)
    assert sorted(i for row in rows for i in row) == list(range(len(sizes)))
    for row in rows:
        assert len(row) == 1 or 2 * len(row) * max(sizes[i] for i in row) <= budget
