"""The memory of a step by part is arithmetic on counts."""

from dataclasses import replace

import pytest

from tgdpo_core.training.memory.parts import (
    Activations,
    Head,
    Row,
    Setting,
    Weight,
    memory_parts,
    optimizer_bytes,
)

ROW = Row(tokens=1000, responses=800)
HEAD = Head(vocabulary=5000, width=64, tile=(10, 1000), itemsize=4, is_trained=True)
SMALL = Activations(kept=10, forward=1, backward=2)
LAYER = Weight(1_000_000, 4, is_trained=True, is_product=True, layer=0)
FROZEN = Weight(640_000, 4, is_trained=False, is_product=True, layer=0)
SETTING = Setting("adamw_torch_fused", autocast=True, checkpointing=False)


@pytest.mark.parametrize(
    ("name", "itemsize", "expected"),
    [
        ("adamw_torch_fused", 4, 8.0),
        ("adamw_torch", 2, 4.0),
        ("adamw_torch_8bit", 2, 2 * (1 + 4 / 256)),
        ("adamw_bnb_8bit", 4, 2 * (1 + 4 / 256)),
        ("adamw_torch_4bit", 2, 2 * (0.5 + 4 / 256)),
        ("sgd", 4, 0.0),
        ("paged_adamw_8bit", 4, 0.0),
        ("an_unknown_one", 4, 8.0),
    ],
)
def test_states_of_the_optimizer_have_its_size(name: str, itemsize: int, expected: float) -> None:
    weight = Weight(2**20, itemsize, is_trained=True)
    assert optimizer_bytes(weight, name) == expected * weight.numel


def test_small_tensors_have_no_blocks() -> None:
    assert optimizer_bytes(Weight(100, 2, is_trained=True), "adamw_torch_8bit") == 400


def test_only_what_is_trained_has_gradients_and_states() -> None:
    parts = memory_parts([LAYER, FROZEN], SMALL, HEAD, ROW, SETTING)
    assert parts.weights == 4 * (LAYER.numel + FROZEN.numel)
    assert parts.gradients == 4 * LAYER.numel
    assert parts.optimizer == 8 * LAYER.numel
    assert parts.copies == 2 * (LAYER.numel + FROZEN.numel)
    assert parts.total == sum(parts.by_name().values())


def test_with_checkpointing_copies_are_gone_in_the_backward_pass() -> None:
    again = replace(SETTING, checkpointing=True)
    heavy = Activations(kept=10, forward=1, backward=10**9)
    light = Activations(kept=10, forward=10**9, backward=1)
    assert memory_parts([LAYER, FROZEN], heavy, HEAD, ROW, again).copies == 0
    # Of frozen weights autocast keeps no copy.
    assert memory_parts([LAYER, FROZEN], light, HEAD, ROW, again).copies == 2 * LAYER.numel


def test_bfloat16_weights_are_not_copied() -> None:
    assert memory_parts([replace(LAYER, itemsize=2)], SMALL, HEAD, ROW, SETTING).copies == 0


def test_frozen_products_of_4_bits_take_half_a_byte_and_their_scales() -> None:
    parts = memory_parts([LAYER, FROZEN], SMALL, HEAD, ROW, replace(SETTING, is_quantised=True))
    assert parts.weights == 4 * LAYER.numel + FROZEN.numel * (0.5 + 4 / 64)


def test_shards_share_everything_but_the_layer_that_is_whole() -> None:
    layers = [replace(LAYER, layer=i) for i in range(4)]
    parts = memory_parts(layers, SMALL, HEAD, ROW, replace(SETTING, shards=4))
    assert parts.weights == LAYER.numel * 4
    assert parts.optimizer == LAYER.numel * 8
    # Two layers of 16 bits, and a gradient of one in float32.
    assert parts.copies == LAYER.numel * (2 * 2 + 4)


def test_replicas_hold_buckets_of_gradients() -> None:
    parts = memory_parts([LAYER], SMALL, HEAD, ROW, replace(SETTING, replicas=2))
    assert parts.gradients == 2 * 4 * LAYER.numel


def test_an_embedding_that_is_the_head_has_three_gradients_at_the_end() -> None:
    head = replace(HEAD, vocabulary=100_000, tile=(1, 10), is_tied=True)
    parts = memory_parts([LAYER], SMALL, head, Row(10, 8), SETTING)
    size = head.vocabulary * head.width * head.itemsize
    assert parts.moment == "the embedding, backward"
    assert (parts.head, parts.embedding) == (size, 2 * size)


def test_the_update_counts_where_it_is_the_highest_moment() -> None:
    large = Weight(10**9, 2, is_trained=True)
    head = replace(HEAD, is_trained=False)
    setting = replace(SETTING, optimizer="adamw_torch_8bit")
    parts = memory_parts([large], SMALL, head, ROW, setting)
    assert (parts.moment, parts.update, parts.activations) == ("update", 8e9, 0)
