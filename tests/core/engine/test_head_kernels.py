"""Kernels of the head: fused tiles, Cut Cross-Entropy, torch's own; all against our tiles."""

import sys
import types
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tgdpo_core.engine import cut_cross_entropy, epilogue, tiles, token_logps
from tgdpo_core.engine.head import HeadSettings, choose_kernel

CPU = torch.device("cpu")
PLAIN = HeadSettings(None, 1.0)


@given(
    st.integers(1, 20_000),
    st.sampled_from([300, 32_000, 49_152, 128_256, 151_936, 256_000]),
    st.sampled_from(["cpu", "cuda"]),
    st.sampled_from([None, 1, 77]),
)
def test_tiles_are_multiples_of_128_wide_and_fit(tokens, vocabulary, device, chunk_size) -> None:
    height, width = tiles.tile_shape((tokens, vocabulary, 4096), device, chunk_size)
    assert width == vocabulary or width % 128 == 0
    assert width <= vocabulary
    assert height <= (chunk_size or tokens)
    budget = {"cpu": 16, "cuda": 256}[device] * 2**20 // 4
    assert height * width <= max(budget, 128 * height)
    # As equal as that width allows: one tile fewer would not do.
    number = -(-vocabulary // width)
    assert number * width - vocabulary < number * 128


def tile(seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return logits, index, inside, log-sum-exps and upstream gradients of both signs."""
    generator = torch.Generator().manual_seed(seed)
    tokens, width = (int(torch.randint(3, 50, (1,), generator=generator)) for _ in range(2))
    z = (3 * torch.randn(tokens, width, generator=generator)).to(dtype)
    index = torch.randint(width, (tokens,), generator=generator)
    inside = torch.rand(tokens, generator=generator) < 0.7
    lse = z.float().logsumexp(-1) + torch.rand(tokens, generator=generator)
    return z, index.where(inside, 0), inside, lse, torch.randn(tokens, generator=generator)


@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (2.0, 0.25)])
def test_fused_steps_equal_single_ones(softcap: float | None, scale: float) -> None:
    values, gradient = epilogue.compiled(backend="aot_eager")
    for seed in range(2):
        z, index, inside, lse, grad = tile(seed, torch.bfloat16)
        mine = values(z, index, inside, scale, softcap)
        theirs = epilogue.eager_values(z.clone(), index, inside, scale, softcap)
        torch.testing.assert_close(mine, theirs)
        rest = (index, inside, lse, grad, scale, softcap, True)
        torch.testing.assert_close(
            gradient(z, *rest), epilogue.eager_gradient(z.clone(), *rest), rtol=1e-5, atol=1e-5
        )


def test_the_whole_head_runs_on_fused_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = results("tiles", bias=True)
    monkeypatch.setattr(epilogue, "values", lambda device: epilogue.eager_values)
    monkeypatch.setattr(epilogue, "gradient", lambda device: epilogue.fused_gradient)
    torch.testing.assert_close(results("tiles", bias=True), expected, rtol=1e-4, atol=1e-5)


def test_a_compiler_that_fails_is_replaced_loudly(monkeypatch, caplog) -> None:
    def broken(backend: str = "inductor") -> Any:
        def fail(*args: Any) -> None:
            raise RuntimeError("Cannot find a working triton installation\nmore")

        return fail, fail

    monkeypatch.setattr(epilogue, "compiled", broken)
    epilogue._try_to_compile.cache_clear()
    functions, reason = epilogue._try_to_compile(CPU)
    epilogue._try_to_compile.cache_clear()
    assert functions == (epilogue.eager_values, epilogue.eager_gradient)
    assert reason == "not compiled (RuntimeError: Cannot find a working triton installation)"
    (warning,) = caplog.records
    assert "slower on a GPU" in warning.getMessage()


def results(
    kernel: str, *, bias: bool = False, softcap: float | None = None, dtype: Any = torch.float32
) -> list[torch.Tensor]:
    """Return log-probs and gradients of a small head for an upstream gradient of both signs."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(40, 16), (300, 16)] + [(300,)] * bias
    leaves = [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]
    targets = torch.randint(300, (40,), generator=generator)
    found = token_logps(
        leaves[0],
        leaves[1],
        targets,
        bias=leaves[2] if bias else None,
        logit_softcap=softcap,
        kernel=kernel,
    )
    upstream = torch.linspace(-1, 1, 40)
    return [found.detach(), *torch.autograd.grad((found * upstream).sum(), leaves)]


def linear_cross_entropy(
    e: torch.Tensor,
    c: torch.Tensor,
    targets: torch.Tensor,
    bias: torch.Tensor | None = None,
    ignore_index: int = -100,
    softcap: float | None = None,
    reduction: str = "mean",
    shift: bool | int = 0,
    filter_eps: float | str | None = "auto",
    accum_e_fp32: bool = False,
    accum_c_fp32: bool = False,
    filter_e_grad: bool = True,
    filter_c_grad: bool = True,
    impl: str = "cce",
) -> torch.Tensor:
    """What the package's function does, in plain torch; inexact wherever it may be."""
    assert e.dtype == c.dtype
    assert not shift
    logits = (e @ c.t()).float()
    logits = logits if bias is None else logits + bias.float()
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction=reduction)
    is_exact = filter_eps is None and accum_e_fp32 and accum_c_fp32
    return losses if is_exact else losses * 1.5


def install(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    package = types.ModuleType("cut_cross_entropy")
    package.linear_cross_entropy = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cut_cross_entropy", package)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_cut_cross_entropy_is_called_exactly(bias, softcap, monkeypatch) -> None:
    install(monkeypatch, linear_cross_entropy)
    found = results("cut-cross-entropy", bias=bias, softcap=softcap)
    torch.testing.assert_close(found, results("tiles", bias=bias, softcap=softcap))


def test_cut_cross_entropy_is_taken_where_it_agrees_with_ours(monkeypatch) -> None:
    """A device of the name ``cuda`` is all that the choice knows of it."""
    install(monkeypatch, linear_cross_entropy)
    assert cut_cross_entropy.obstacle(torch.device("cuda"), torch.bfloat16, 1.0) is None
    monkeypatch.setattr(cut_cross_entropy, "obstacle", lambda *_: None)
    assert choose_kernel(CPU, torch.bfloat16, PLAIN, plain=True)[0] == "cut-cross-entropy"


def filtered(e: Any, c: Any, targets: Any, **kwargs: Any) -> torch.Tensor:
    return linear_cross_entropy(e, c, targets, **{**kwargs, "filter_eps": "auto"})


def failing(e: Any, c: Any, targets: Any, **kwargs: Any) -> torch.Tensor:
    raise RuntimeError("out of resource: shared memory")


@pytest.mark.parametrize(
    ("function", "message"), [(filtered, "is off by 0.5 of ours"), (failing, "shared memory")]
)
def test_cut_cross_entropy_that_disagrees_or_fails_is_not_taken(
    function, message, monkeypatch
) -> None:
    install(monkeypatch, function)
    monkeypatch.setattr(cut_cross_entropy, "obstacle", lambda *_: None)
    kernel, reason = choose_kernel(CPU, torch.bfloat16, PLAIN, plain=True)
    assert kernel == "tiles"
    assert message in reason


def of_2025(e: Any, c: Any, targets: Any, softcap: Any, reduction: Any, filter_eps: Any) -> None:
    """The signature of version 25.1: sums in bfloat16, no bias."""


@pytest.mark.parametrize(
    ("device", "dtype", "scale", "function", "message"),
    [
        ("cpu", torch.bfloat16, 1.0, linear_cross_entropy, "is for CUDA"),
        ("cuda", torch.float32, 1.0, linear_cross_entropy, "is for half precision"),
        ("cuda", torch.bfloat16, 0.5, linear_cross_entropy, "has no scale"),
        ("cuda", torch.bfloat16, 1.0, of_2025, "has no accum_c_fp32, accum_e_fp32, bias"),
        ("cuda", torch.bfloat16, 1.0, None, "cannot be imported"),
    ],
)
def test_why_cut_cross_entropy_is_left_out(
    device, dtype, scale, function, message, monkeypatch
) -> None:
    if function is None:
        monkeypatch.setitem(sys.modules, "cut_cross_entropy", None)
    else:
        install(monkeypatch, function)
    assert message in cut_cross_entropy.obstacle(torch.device(device), dtype, scale)


def test_a_scale_of_logits_is_refused_by_cut_cross_entropy(monkeypatch) -> None:
    install(monkeypatch, linear_cross_entropy)
    h, w = torch.zeros(2, 3), torch.zeros(5, 3)
    with pytest.raises(ValueError, match="use the kernel 'tiles'"):
        token_logps(h, w, torch.zeros(2).long(), logit_scale=0.5, kernel="cut-cross-entropy")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.skipif(
    not hasattr(torch.nn.functional, "linear_cross_entropy"), reason="this torch has none"
)
def test_torchs_own_linear_cross_entropy_agrees_in_float32_and_is_rounded_in_bfloat16(
    dtype: torch.dtype,
) -> None:
    """Why it is no kernel of ours: its losses come back in the dtype of the hidden states."""
    generator = torch.Generator().manual_seed(0)
    h, w = (torch.randn(n, 16, generator=generator).to(dtype) for n in (40, 300))
    targets = torch.randint(300, (40,), generator=generator)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=16, chunking_method=None)
    theirs = -torch.nn.functional.linear_cross_entropy(
        h, w, targets, reduction="none", options=options
    )
    assert theirs.dtype == dtype
    ours = token_logps(h.float(), w.float(), targets)
    error = (theirs.float() - ours).abs().max().item()
    assert error < 1e-5 if dtype == torch.float32 else error > 1e-3


def test_products_of_halves_are_float32_sums_where_the_device_has_them(monkeypatch) -> None:
    """CUDA has products with a wider result; here a stand-in takes their place."""
    calls = []

    def wide(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        calls.append(dtype)
        return left.to(dtype) @ right.to(dtype)

    narrow = results("tiles", dtype=torch.bfloat16)
    monkeypatch.setattr(tiles, "_wide_product", wide)
    exact = results("tiles", dtype=torch.bfloat16)
    assert set(calls) == {torch.float32}
    torch.testing.assert_close(exact, narrow, rtol=0.02, atol=0.02)
