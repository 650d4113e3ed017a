"""FlexAttention over shared rows, forward and backward, on a CPU.

Torch refuses its backward on a CPU, where it has no kernel; its definition in plain torch has one,
so that refusal is taken away here.
"""

import pytest
import torch
from torch.nn.attention import flex_attention as torch_flex

from tests.core.engine.attention import models
from tgdpo_core.engine.attention import LayerSettings, Segments, choice
from tgdpo_core.engine.attention.flex import Flex, visible
from tgdpo_core.engine.layout import BLOCK, Layout


@pytest.fixture
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    uncompiled = Flex("flex", "uncompiled", torch_flex.flex_attention)
    monkeypatch.setitem(choice.MAKERS, "flex", lambda: uncompiled)


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("tail", [0, 3])
def test_the_mask_of_a_row_is_what_its_segments_see(window: int | None, tail: int) -> None:
    layout = Layout([(3, 2, 4), (1, 1, 1), (2, 3, 0), (5, 0, 2)], tail)
    total = 24 + tail
    seen = torch.zeros(total, total, dtype=torch.bool)
    for i, segment in enumerate(layout.segments):
        keys = torch.cat([torch.arange(*span) for span in segment.keys])
        queries = torch.arange(*segment.queries)
        mask = layout.mask(i, window, keys.device)
        if mask is None:
            mask = torch.ones(len(queries), len(keys), dtype=torch.bool).tril()
        seen[queries[:, None], keys[None]] = mask
    index = torch.arange(total)
    found = visible(layout.places(index.device), window)(0, 0, index[:, None], index[None])
    assert torch.equal(found, seen)


@pytest.mark.parametrize("tail", [0, 37])
def test_blocks_that_are_left_out_see_nothing(tail: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 130, (9, 3), generator=generator).tolist()
    places = Layout([tuple(row) for row in sizes], tail).places(torch.device("cpu"))
    index = torch.arange(len(places.pair))
    seen = visible(places, None)(0, 0, index[:, None], index[None])
    kept = torch.zeros_like(seen)
    for block, count in enumerate(places.block_counts.tolist()):
        for member in places.block_members[block, :count].tolist():
            kept[block * BLOCK : block * BLOCK + BLOCK, member * BLOCK : member * BLOCK + BLOCK] = 1
    assert not (seen & ~kept).any()
    assert kept.float().mean() < 0.5  # most blocks are left out


@pytest.mark.usefixtures("_on_a_cpu")
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss"])
def test_log_probs_and_gradients_equal_one_forward_per_sequence(family: str) -> None:
    model = models.tiny_model(family)
    truth = models.results(model, models.plain_logps(model, models.random_pairs()))
    engine, found = models.shared_row_results(model, attention="flex", row_multiple=128)
    assert engine.choice.attention == "flex", engine.choice
    assert models.worst_error(found, truth) <= 1e-5


@pytest.mark.usefixtures("_on_a_cpu")
def test_block_masks_are_made_once_a_row_for_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.tiny_model("gemma2", num_hidden_layers=4)
    engine, _ = models.shared_row_results(model, attention="flex")
    made = []
    original = torch_flex.BlockMask.from_kv_blocks

    def create(*args, **kwargs):
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(torch_flex.BlockMask, "from_kv_blocks", create)
    engine(engine.row(models.random_pairs()))
    assert len(made) == 2


@pytest.mark.usefixtures("_on_a_cpu")
def test_sinks_have_a_gradient() -> None:
    q, k, v = (torch.randn(1, heads, 9, 8) for heads in (4, 2, 2))
    upstream, gradients = torch.randn(1, 9, 4, 8), []
    for backend in (choice.make("flex"), Segments()):
        sinks = torch.linspace(-1, 2, 4, requires_grad=True)
        row = backend.bind(Layout([(4, 3, 2)]), q.device)
        row.attend(q, k, v, LayerSettings(sinks=sinks)).backward(upstream)
        gradients.append(sinks.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_compiled_function_is_made_where_torch_has_one() -> None:
    assert choice.make("flex").name == "flex"
