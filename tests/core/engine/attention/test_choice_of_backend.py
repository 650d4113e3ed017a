"""Which backend a model gets: what is right, and what is wrong is said."""

import logging
from typing import Any

import pytest
import torch

from tests.core.engine.attention import models, stand_ins
from tgdpo_core.engine.attention import (
    LayerSettings,
    Segments,
    UnsupportedAttentionError,
    candidates,
    choice,
    segments,
)
from tgdpo_core.engine.attention.varlen import Varlen, torch_kernel
from tgdpo_core.engine.layout import Layout
from tgdpo_core.engine.policy import TokenLogps


def test_kernels_are_tried_on_a_gpu_in_order_and_segments_come_last() -> None:
    assert candidates("auto", "cuda") == ["varlen", "flash-attn", "flex", "segments"]
    assert candidates("auto", "cpu") == ["segments"]
    assert candidates("flex", "cpu") == ["flex", "segments"]
    assert candidates("segments", "cuda") == ["segments"]


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'flsh' is unknown; known: auto, varlen, flash-attn"):
        TokenLogps(models.tiny_model("llama"), attention="flsh")


def without_prompts(query: Any, key: Any, value: Any, plan: Any, layer: Any) -> torch.Tensor:
    return query * value.float().mean().to(query.dtype)


def failing(query: Any, key: Any, value: Any, plan: Any, layer: Any) -> torch.Tensor:
    raise RuntimeError("head_dim 8 is not supported")


class OtherBackward(torch.autograd.Function):
    """A right forward, and a backward that is another's, or none."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, output: torch.Tensor, fails: bool) -> torch.Tensor:
        ctx.fails, ctx.like = fails, value
        return output.detach()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        if ctx.fails:
            raise RuntimeError("no backward for head_dim 256")
        return torch.ones_like(ctx.like), None, None


def other_backward(fails: bool) -> Any:
    right = torch_kernel(stand_ins.torch_2_13)

    def kernel(query: Any, key: Any, value: Any, plan: Any, layer: Any) -> torch.Tensor:
        output = right(query, key, value, plan, layer)
        return OtherBackward.apply(value, output, fails) + 0 * query + 0 * key.float().sum()

    return kernel


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (without_prompts, "shared rows are off by"),
        (failing, "head_dim 8 is not supported"),
        (other_backward(fails=False), "gradients of attention are off by"),
        (other_backward(fails=True), "no backward for head_dim 256"),
    ],
)
def test_a_kernel_that_is_wrong_is_replaced_loudly(kernel, message, monkeypatch, caplog) -> None:
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: Varlen("varlen", "a stand-in", kernel))
    with caplog.at_level(logging.WARNING):
        engine = TokenLogps(models.tiny_model("llama").bfloat16(), attention="varlen")
    assert (engine.choice.layout, engine.choice.attention) == ("share", "segments")
    assert message in engine.choice.attention_reason
    (warning,) = caplog.records
    assert "Attention 'varlen' is not used" in warning.getMessage()
    assert message in warning.getMessage()


def one_token_off(query: Any, key: Any, value: Any, plan: Any, layer: Any) -> torch.Tensor:
    """What a router that decides a near-tie otherwise looks like."""
    output = torch_kernel(stand_ins.torch_2_13)(query, key, value, plan, layer)
    nudge = torch.zeros_like(output)
    nudge[-2] = 9.0
    return output + nudge


@pytest.mark.parametrize(
    ("family", "kernel", "attention"),
    [
        ("mixtral", one_token_off, "varlen"),
        ("mixtral", without_prompts, "segments"),
        ("llama", one_token_off, "segments"),
    ],
)
def test_a_few_tokens_may_be_off_where_a_router_decides(
    family, kernel, attention, monkeypatch
) -> None:
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: Varlen("varlen", "a stand-in", kernel))
    model = models.tiny_model(family).bfloat16()
    assert TokenLogps(model, attention="varlen").choice.attention == attention


def test_a_kernel_that_is_not_to_be_had_is_recorded_without_a_warning(monkeypatch, caplog) -> None:
    def make() -> Any:
        raise UnsupportedAttentionError("flash-attn is not installed")

    monkeypatch.setitem(choice.MAKERS, "flash-attn", make)
    with caplog.at_level(logging.WARNING):
        engine = TokenLogps(models.tiny_model("llama"), attention="flash-attn")
    assert engine.choice.attention == "segments"
    assert "not flash-attn: flash-attn is not installed" in engine.choice.attention_reason
    assert not caplog.records


def test_soft_caps_send_a_model_past_the_kernel_without_them(monkeypatch, caplog) -> None:
    kernel = torch_kernel(stand_ins.torch_2_13)
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: Varlen("varlen", "a stand-in", kernel))
    with caplog.at_level(logging.WARNING):
        engine = TokenLogps(models.tiny_model("gemma2").bfloat16(), attention="varlen")
    assert engine.choice.attention == "segments"
    assert "no soft-cap" in engine.choice.attention_reason
    assert not caplog.records


def test_the_choice_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tgdpo_core.engine"):
        TokenLogps(models.tiny_model("llama"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Rows: share; attention: segments (torch's attention, segment by")


def test_padded_rows_use_the_models_own_attention() -> None:
    choice_ = TokenLogps(models.tiny_model("llama"), layout="pad").choice
    assert (choice_.layout, choice_.attention) == ("pad", "plain")


def test_two_models_of_one_config_object_do_not_switch_each_other() -> None:
    from transformers import LlamaForCausalLM

    first = models.tiny_model("llama")
    second = LlamaForCausalLM(first.config)
    assert second.config is first.config
    pairs = models.random_pairs()
    engines = [TokenLogps(model) for model in (first, second)]
    assert [engine.choice.layout for engine in engines] == ["share", "share"]
    for engine in engines:
        found = engine(engine.row(pairs))
        assert torch.allclose(found, models.plain_logps_of(engine, pairs), atol=1e-5)
    assert first.config is not second.config
    assert first.model.layers[0].self_attn.config is first.config


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_mask_and_grouped_heads_never_meet(on_gpu: bool, monkeypatch) -> None:
    """Together they would take the kernel that keeps all scores."""
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def spy(q: Any, k: Any, v: Any, **kwargs: Any) -> torch.Tensor:
        calls.append((kwargs["attn_mask"] is not None, q.shape[1] != k.shape[1]))
        return original(q, k, v, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    monkeypatch.setattr(segments, "_is_on_gpu", lambda x: on_gpu)
    q, k, v = (torch.randn(1, heads, 9, 8) for heads in (4, 2, 2))
    found = Segments().bind(Layout([(4, 3, 2)]), q.device).attend(q, k, v, LayerSettings())
    assert calls == [(False, on_gpu), (True, False)]
    wide = [x.repeat_interleave(2, 1) for x in (k, v)]
    alone = Segments().bind(Layout([(4, 3, 2)]), q.device).attend(q, *wide, LayerSettings())
    assert torch.allclose(found, alone, atol=1e-6)
