"""``token_logps`` against plain torch: log_softmax of all logits at once, then gather."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tgdpo_core.engine import token_logps


@dataclass
class Case:
    """Random inputs of one call, [N, D], [V, D], [N], [V] or None, with upstream gradients [N]."""

    hidden: torch.Tensor
    weight: torch.Tensor
    targets: torch.Tensor
    bias: torch.Tensor | None
    upstream: torch.Tensor
    softcap: float | None = None
    scale: float = 1.0

    def leaves(self, dtype: torch.dtype) -> list[torch.Tensor]:
        """Return hidden, weight and bias as fresh leaves."""
        kept = [t for t in (self.hidden, self.weight, self.bias) if t is not None]
        return [t.detach().to(dtype).requires_grad_() for t in kept]

    def ours(self, leaves: list[torch.Tensor], chunk_size: int | None) -> torch.Tensor:
        """Return token_logps of the leaves."""
        return token_logps(
            leaves[0],
            leaves[1],
            self.targets,
            bias=leaves[2] if len(leaves) > 2 else None,
            logit_softcap=self.softcap,
            logit_scale=self.scale,
            chunk_size=chunk_size,
        )

    def plain(self, leaves: list[torch.Tensor]) -> torch.Tensor:
        """Return the same by plain torch."""
        z = leaves[0] @ leaves[1].T
        if len(leaves) > 2:
            z = z + leaves[2]
        z = z if z.dtype == torch.float64 else z.float()
        z = self.scale * z
        if self.softcap is not None:
            z = self.softcap * torch.tanh(z / self.softcap)
        return torch.log_softmax(z, -1).gather(1, self.targets[:, None]).squeeze(1)

    def gradients(self, logps: torch.Tensor, leaves: list[torch.Tensor]) -> tuple[Any, ...]:
        """Return the gradients of ``upstream . logps``."""
        return torch.autograd.grad((logps * self.upstream.to(logps.dtype)).sum(), leaves)


def random_case(
    n: int,
    d: int,
    v: int,
    *,
    seed: int = 0,
    with_bias: bool = True,
    softcap: float | None = None,
    scale: float = 1.0,
) -> Case:
    """Return a case whose logits are a few units wide."""
    rng = torch.Generator().manual_seed(seed)
    return Case(
        hidden=torch.randn(n, d, generator=rng),
        weight=torch.randn(v, d, generator=rng),
        targets=torch.randint(v, (n,), generator=rng),
        bias=torch.randn(v, generator=rng) if with_bias else None,
        upstream=torch.randn(n, generator=rng),
        softcap=softcap,
        scale=scale,
    )


CASES = st.builds(
    random_case,
    st.integers(0, 23),
    st.integers(1, 12),
    st.integers(1, 40),
    seed=st.integers(0, 2**31),
    with_bias=st.booleans(),
    softcap=st.none() | st.floats(0.5, 30),
    scale=st.floats(0.05, 2),
)
CHUNKS = st.none() | st.integers(1, 30)


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the greatest difference, relative where values are above 1."""
    if not expected.numel():
        return 0.0
    return (
        ((found.double() - expected.double()).abs() / expected.double().abs().clamp(min=1))
        .max()
        .item()
    )


@given(CASES, CHUNKS)
@settings(deadline=None, max_examples=150)
def test_values_equal_plain_torch_in_float64(case: Case, chunk_size: int | None) -> None:
    expected = case.plain(case.leaves(torch.float64))
    found = case.ours(case.leaves(torch.float32), chunk_size)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert worst(found, expected) < 1e-5


@given(CASES, CHUNKS)
@settings(deadline=None, max_examples=150)
def test_gradients_equal_plain_torch_in_float64(case: Case, chunk_size: int | None) -> None:
    exact, leaves = case.leaves(torch.float64), case.leaves(torch.float32)
    expected = case.gradients(case.plain(exact), exact)
    found = case.gradients(case.ours(leaves, chunk_size), leaves)
    for ours, truth in zip(found, expected, strict=True):
        assert worst(ours, truth) < 2e-5


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 3, None])
def test_gradcheck_passes_in_float64(
    softcap: float | None, with_bias: bool, chunk_size: int | None
) -> None:
    case = random_case(7, 4, 9, with_bias=with_bias, softcap=softcap, scale=0.7)
    leaves = case.leaves(torch.float64)
    assert torch.autograd.gradcheck(lambda *x: case.ours(list(x), chunk_size), leaves)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_an_input_without_gradient_leaves_the_other_gradients_as_they_are(frozen: int) -> None:
    case = random_case(11, 5, 8)
    leaves, all_leaves = case.leaves(torch.float32), case.leaves(torch.float32)
    expected = case.gradients(case.ours(all_leaves, 4), all_leaves)
    leaves[frozen].requires_grad_(False)
    (case.ours(leaves, 4) * case.upstream).sum().backward()
    assert leaves[frozen].grad is None
    for i in {0, 1, 2} - {frozen}:
        assert torch.equal(leaves[i].grad, expected[i])


@pytest.mark.parametrize("chunk_size", [1, 2, 16, 99, 100, 101, 1000])
def test_the_chunk_size_does_not_change_the_result(chunk_size: int) -> None:
    case = random_case(100, 16, 50, softcap=5.0, scale=0.5)
    whole, parts = case.leaves(torch.float32), case.leaves(torch.float32)
    expected, found = case.ours(whole, None), case.ours(parts, chunk_size)
    assert worst(found, expected) < 1e-6
    pairs = zip(case.gradients(found, parts), case.gradients(expected, whole), strict=True)
    assert max(worst(ours, truth) for ours, truth in pairs) < 5e-6


@pytest.mark.parametrize("chunk_size", [None, 8])
def test_bfloat16_is_as_near_to_the_truth_as_plain_torch(chunk_size: int | None) -> None:
    case = random_case(200, 32, 300, with_bias=False)
    half = case.leaves(torch.bfloat16)
    exact = [t.detach().float().requires_grad_() for t in half]  # the same numbers in float32
    truth = case.plain(exact)
    true_gradients = case.gradients(truth, exact)

    def errors(logps: torch.Tensor) -> list[float]:
        gradients = zip(case.gradients(logps, half), true_gradients, strict=True)
        values = [(logps, truth), *gradients]
        return [(found - expected).abs().mean().item() for found, expected in values]

    ours, plain = errors(case.ours(half, chunk_size)), errors(case.plain(half))
    assert all(mine <= 1.05 * theirs for mine, theirs in zip(ours, plain, strict=True))


def test_bfloat16_gradients_of_many_chunks_are_summed_in_float32() -> None:
    n = 4096
    case = random_case(n, 4, 3, with_bias=False)
    case.upstream = torch.ones(n)
    half = case.leaves(torch.bfloat16)
    exact = [t.detach().float().requires_grad_() for t in half]
    found = case.gradients(case.ours(half, 1), half)[1].float()
    expected = case.gradients(case.plain(exact), exact)[1]
    # One rounding of the total, and of each logit; a bfloat16 running sum would be off by 10 %.
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 0.01


def test_under_autocast_it_computes_what_bfloat16_inputs_give_with_float32_gradients() -> None:
    case = random_case(30, 8, 20)
    leaves, half = case.leaves(torch.float32), case.leaves(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.ours(leaves, 7)
    expected = case.ours(half, 7)
    assert torch.equal(found, expected)
    pairs = zip(case.gradients(found, leaves), case.gradients(expected, half), strict=True)
    for ours, theirs in pairs:
        assert ours.dtype == torch.float32
        assert torch.equal(ours.bfloat16(), theirs)


class _Largest(TorchDispatchMode):
    """Records the size of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, torch.Tensor):
                self.numel = max(self.numel, item.numel())
        return result


class _Float32(TorchDispatchMode):
    """Records the size of the largest float32 tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, torch.Tensor) and item.dtype == torch.float32:
                self.numel = max(self.numel, item.numel())
        return result


@pytest.mark.parametrize("chunk_size", [None, 8])
def test_bfloat16_weights_get_their_gradient_without_a_float32_copy_of_it(chunk_size) -> None:
    n, d, v = 16, 300, 20_000
    case = random_case(n, d, v, with_bias=False)
    half = case.leaves(torch.bfloat16)
    with _Float32() as seen:
        gradients = case.gradients(case.ours(half, chunk_size), half)
    assert gradients[1].dtype == torch.bfloat16
    assert seen.numel < v * d


def test_under_autocast_the_weight_is_never_cast_whole() -> None:
    n, d, v = 512, 16, 20_000
    case = random_case(n, d, v, with_bias=False)
    leaves = case.leaves(torch.float32)
    casts = []

    class Casts(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            if func.overloadpacket.__name__ == "_to_copy" and args[0].dtype == torch.float32:
                casts.append(args[0].numel())
            return func(*args, **(kwargs or {}))

    with Casts(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.ours(leaves, None)
    assert found.dtype == torch.float32
    assert 0 < max(casts) < v * d


def test_no_tensor_of_all_logits_exists_when_chunked() -> None:
    n, d, v, chunk = 256, 8, 512, 16
    case = random_case(n, d, v, softcap=4.0, scale=2.0)
    leaves = case.leaves(torch.float32)
    with _Largest() as chunked:
        case.gradients(case.ours(leaves, chunk), leaves)
    assert chunked.numel == chunk * v


def test_the_recorder_of_the_test_above_sees_all_logits_of_plain_torch() -> None:
    n, d, v = 256, 8, 512
    case = random_case(n, d, v)
    leaves = case.leaves(torch.float32)
    with _Largest() as plain:
        case.gradients(case.plain(leaves), leaves)
    assert plain.numel == n * v


@pytest.mark.parametrize(
    ("hidden", "weight", "targets"),
    [
        ((4, 3), (7, 2), (4,)),
        ((4, 3), (7, 3), (5,)),
        ((1, 4, 3), (7, 3), (4,)),
        ((4, 3), (3,), (4,)),
        ((4, 3), (7, 3), (4, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    hidden: tuple[int, ...], weight: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="token_logps needs hidden"):
        token_logps(torch.zeros(hidden), torch.zeros(weight), torch.zeros(targets).long())


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_a_chunk_size_below_1_is_refused(chunk_size: int) -> None:
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        random_case(3, 2, 5).ours(random_case(3, 2, 5).leaves(torch.float32), chunk_size)
