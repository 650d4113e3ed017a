"""Variable-length kernels: what they are told is right, in every signature that they have."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.engine.attention import models, stand_ins
from tgdpo_core.engine.attention import LayerSettings, Segments, UnsupportedAttentionError, choice
from tgdpo_core.engine.attention.varlen import Kernel, Varlen, flash_attn_kernel, torch_kernel
from tgdpo_core.engine.layout import Layout

KERNELS: dict[str, Kernel] = {
    "torch 2.11": torch_kernel(stand_ins.torch_2_11),
    "torch 2.13": torch_kernel(stand_ins.torch_2_13),
    "flash-attn": flash_attn_kernel(stand_ins.flash_attn_varlen_func),
}
lengths = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 5))


def backend(kernel: Kernel) -> Varlen:
    return Varlen("varlen", "a stand-in", kernel)


@settings(deadline=None, max_examples=25)
@given(st.lists(lengths, min_size=1, max_size=3), st.sampled_from([None, 1, 3]), st.integers(0, 4))
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_attends_to_what_segments_attend_to(name, sizes, window, tail) -> None:
    layout = Layout(sizes, tail)
    total = sum(map(sum, sizes)) + tail
    q, k, v = (torch.randn(1, heads, total, 8).bfloat16() for heads in (4, 2, 2))
    layer = LayerSettings(scaling=0.7, window=window)
    found = backend(KERNELS[name]).bind(layout, q.device).attend(q, k, v, layer)
    wide = [x.float() for x in (q, k, v)]
    expected = Segments().bind(layout, q.device).attend(*wide, layer)
    assert (found.shape, found.dtype) == (expected.shape, torch.bfloat16)
    assert torch.allclose(found.float(), expected, atol=0.02)


def test_a_soft_cap_reaches_the_kernel_that_has_one() -> None:
    layer, layout = LayerSettings(softcap=0.5), Layout([(4, 3, 2)])
    q, k, v = (3 * torch.randn(1, heads, 9, 8).bfloat16() for heads in (4, 2, 2))
    found = backend(KERNELS["flash-attn"]).bind(layout, q.device).attend(q, k, v, layer)
    wide = [x.float() for x in (q, k, v)]
    expected = Segments().bind(layout, q.device).attend(*wide, layer)
    uncapped = Segments().bind(layout, q.device).attend(*wide, LayerSettings())
    assert torch.allclose(found.float(), expected, atol=0.05)
    assert not torch.allclose(uncapped, expected, atol=0.05)


@pytest.mark.parametrize(
    ("kernel", "layer", "dtype", "message"),
    [
        ("torch 2.11", LayerSettings(softcap=1.0), torch.bfloat16, "no soft-cap"),
        ("torch 2.13", LayerSettings(softcap=1.0), torch.bfloat16, "no soft-cap"),
        ("flash-attn", LayerSettings(sinks=torch.zeros(4)), torch.bfloat16, "no sinks"),
        ("torch 2.13", LayerSettings(), torch.float32, "no torch.float32"),
    ],
)
def test_what_a_kernel_does_not_have_is_refused(kernel, layer, dtype, message) -> None:
    q, k, v = (torch.randn(1, heads, 6, 8, dtype=dtype) for heads in (4, 2, 2))
    row = backend(KERNELS[kernel]).bind(Layout([(2, 2, 2)]), q.device)
    with pytest.raises(UnsupportedAttentionError, match=message):
        row.attend(q, k, v, layer)


def test_an_old_flash_attn_is_not_asked_for_soft_caps() -> None:
    kernel = flash_attn_kernel(stand_ins.uncapped_flash_attn)
    q, k, v = (torch.randn(1, heads, 6, 8).bfloat16() for heads in (4, 2, 2))
    row = backend(kernel).bind(Layout([(2, 2, 2)]), q.device)
    with pytest.raises(UnsupportedAttentionError, match="no soft-cap"):
        row.attend(q, k, v, LayerSettings(softcap=1.0))


def test_a_torch_whose_kernel_has_no_windows_is_refused() -> None:
    def varlen_attn(query: Any, key: Any, value: Any, *, is_causal: bool = False) -> None:
        raise AssertionError

    with pytest.raises(UnsupportedAttentionError, match="has no windows"):
        torch_kernel(varlen_attn)


def test_torchs_own_kernel_is_found_and_flash_attn_is_named_where_it_is_missing() -> None:
    assert choice.make("varlen").name == "varlen"
    with pytest.raises(UnsupportedAttentionError, match="flash-attn is not installed"):
        choice.make("flash-attn")


class Seen:
    """A kernel that notes the dtypes it is called with."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.dtypes: set[torch.dtype] = set()

    def __call__(self, query: Any, key: Any, value: Any, plan: Any, layer: Any) -> torch.Tensor:
        self.dtypes |= {query.dtype, key.dtype, value.dtype}
        return self._kernel(query, key, value, plan, layer)


@pytest.mark.parametrize(
    ("family", "kernel"),
    [
        ("llama", "torch 2.11"),
        ("llama", "torch 2.13"),
        ("qwen3", "torch 2.13"),
        ("mistral", "torch 2.11"),
        ("gemma2", "flash-attn"),
    ],
)
def test_float32_weights_under_autocast_reach_the_kernel_in_bfloat16(
    family, kernel, monkeypatch
) -> None:
    """And log-probs and gradients are as near to float32 as those of plain forwards."""
    seen = Seen(KERNELS[kernel])
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: backend(seen))
    model = models.tiny_model(family)
    truth = models.results(model, models.plain_logps(model, models.random_pairs()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        separate = models.results(model, models.plain_logps(model, models.random_pairs()))
        engine, found = models.shared_row_results(model, attention="varlen")
    assert engine.choice.attention == "varlen", engine.choice
    assert seen.dtypes == {torch.bfloat16}
    assert models.worst_error(found, truth) <= 1.5 * models.worst_error(separate, truth)


def test_a_model_attached_before_autocast_is_probed_as_it_will_run(monkeypatch) -> None:
    """Without autocast it goes by segments, under autocast by the kernel."""
    seen = Seen(KERNELS["torch 2.13"])
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: backend(seen))
    model = models.tiny_model("llama")
    engine, _ = models.shared_row_results(model, attention="varlen", autocast=torch.bfloat16)
    assert engine.choice.attention == "varlen", engine.choice
    assert "without autocast segments" in engine.choice.attention_reason
    assert "under autocast: shared rows equal" in engine.choice.layout_reason
    seen.dtypes.clear()
    row = engine.row(models.random_pairs())
    engine(row)
    assert seen.dtypes == set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        engine(row)
    assert seen.dtypes == {torch.bfloat16}
