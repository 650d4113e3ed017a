"""FSDP2 under mixed precision: float32 shards and sums, 16-bit products, float32 log-probs."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from tgdpo_core.errors import UsageError
from tgdpo_core.training.sharded_precision import set_sharded_precision


def accelerator(mixed: str = "bf16", version: int = 2) -> Any:
    """Return what accelerate would have made of a configuration."""
    format_ = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": None}[mixed]
    theirs = MixedPrecisionPolicy(format_, format_, output_dtype=format_)
    plugin = SimpleNamespace(fsdp_version=version, mixed_precision_policy=theirs)
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision=mixed)


class Model(torch.nn.Module):
    """Gives float32 numbers, as the engine does, and notes the format of its products."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = self.layer(x)
        self.of_product = product.dtype
        return product.float().log_softmax(-1)


@pytest.fixture
def mesh() -> Iterator[Any]:
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    destroy_process_group()


def test_products_are_16_bits_and_everything_else_is_float32(mesh: Any) -> None:
    made = accelerator()
    set_sharded_precision(made, rounds=False)
    model = Model()
    fully_shard(model, mesh=mesh, mp_policy=made.state.fsdp_plugin.mixed_precision_policy)
    found = model(torch.randn(2, 8))
    assert (model.of_product, found.dtype) == (torch.bfloat16, torch.float32)
    found[:, 0].sum().backward()
    assert model.layer.weight.dtype == torch.float32
    assert model.layer.weight.grad is not None
    assert model.layer.weight.grad.dtype == torch.float32


def test_log_probs_are_not_rounded_to_16_bits(mesh: Any) -> None:
    made = accelerator()
    set_sharded_precision(made, rounds=False)
    model = Model()
    fully_shard(model, mesh=mesh, mp_policy=made.state.fsdp_plugin.mixed_precision_policy)
    found = model(torch.randn(4, 8))
    assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.parametrize(("mixed", "version"), [("no", 2), ("bf16", 1)])
def test_other_ways_to_shard_keep_what_accelerate_gave_them(mixed: str, version: int) -> None:
    made = accelerator(mixed, version)
    before = made.state.fsdp_plugin.mixed_precision_policy
    set_sharded_precision(made, rounds=True)
    assert made.state.fsdp_plugin.mixed_precision_policy is before


@pytest.mark.parametrize("is_sharded", [True, False])
def test_autocast_keeps_no_copies_of_gathered_weights(mesh: Any, is_sharded: bool) -> None:
    made, model = accelerator(), Model()
    set_sharded_precision(made, rounds=False)
    if is_sharded:
        fully_shard(model, mesh=mesh, mp_policy=made.state.fsdp_plugin.mixed_precision_policy)
    used: list[int] = []
    model.layer.register_forward_hook(lambda layer, *_: used.append(layer.weight.data_ptr()))
    kept: list[int] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept.append(x.data_ptr())
        return x

    with saved_tensors_hooks(keep, lambda x: x), torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(4, 8, requires_grad=True))
    assert (used[0] in kept) is is_sharded  # else the backward pass keeps a copy


def test_weights_that_would_become_float32_are_not_rounded_at_random() -> None:
    with pytest.raises(UsageError, match=r"FSDP2 under mixed precision trains float32 shards"):
        set_sharded_precision(accelerator(), rounds=True)
