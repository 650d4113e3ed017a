"""The head is called through its module: sharded, adapted or replaced, it gives the model's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from tests.core.engine.attention import models
from tgdpo_core.engine.policy import TokenLogps, attach
from tgdpo_core.errors import UsageError


@pytest.fixture
def _one_rank(tmp_path: Path) -> Iterator[None]:
    store = dist.FileStore(str(tmp_path / "ranks"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def adapted(model: Any, modules: list[str], **settings: Any) -> Any:
    """Return a model with adapters that are not zero."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=2, target_modules=modules, init_lora_weights=False, **settings
    )
    torch.manual_seed(1)
    return peft.get_peft_model(model, config).eval()


def expected_of(model: Any) -> dict[str, torch.Tensor]:
    return models.results(model, models.plain_logps(model, models.random_pairs()))


# peft 0.18 warns of tied weights in an adapter; later ones do not.
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
@pytest.mark.parametrize("kind", ["adapter", "adapter and bias", "copy that is trained"])
def test_an_adapter_on_the_head_is_honoured(kind: str) -> None:
    model = models.tiny_model("llama")
    if kind == "adapter and bias":
        bias = torch.nn.Parameter(torch.randn(160))
        model.lm_head.bias = bias
    if kind == "copy that is trained":
        model = adapted(model, ["q_proj"], modules_to_save=["lm_head"])
        with torch.no_grad():
            model.base_model.model.lm_head.modules_to_save["default"].weight.mul_(-1)
    else:
        model = adapted(model, ["q_proj", "lm_head"])
    truth = expected_of(model)
    engine, found = models.shared_row_results(model)
    assert (engine.choice.head, engine.choice.head_kernel) == ("chunked", "module"), engine.choice
    assert any("lm_head" in name for name in truth)
    assert models.worst_error(found, truth) <= 1e-5


def test_a_bias_on_the_head_is_honoured_by_the_tiles() -> None:
    model = models.tiny_model("llama")
    model.lm_head.bias = torch.nn.Parameter(torch.randn(160))
    truth = expected_of(model)
    engine, found = models.shared_row_results(model)
    assert engine.choice.head_kernel == "tiles"
    assert models.worst_error(found, truth) <= 1e-5


def test_a_replaced_forward_of_the_head_is_called() -> None:
    model = models.tiny_model("llama")
    original = model.lm_head.forward
    model.lm_head.forward = lambda hidden: 2 * original(hidden)
    truth = expected_of(model)
    engine, found = models.shared_row_results(model)
    assert engine.choice.head_kernel == "module"
    assert models.worst_error(found, truth) <= 1e-5


def test_hooks_of_the_head_fire_and_its_own_forward_is_back_afterwards() -> None:
    model = models.tiny_model("llama")
    engine = TokenLogps(model)
    seen: list[torch.Tensor] = []
    model.lm_head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    row = engine.row(models.random_pairs())
    engine(row)
    assert [tuple(hidden.shape) for hidden in seen] == [(len(row.targets), 32)]
    assert model.lm_head(torch.zeros(1, 32)).shape == (1, 160)


@pytest.mark.usefixtures("_one_rank")
@pytest.mark.parametrize("lora", [False, True])
def test_a_head_in_a_unit_of_its_own_is_gathered_under_fsdp2(lora: bool) -> None:
    model = models.tiny_model("llama")
    model = adapted(model, ["q_proj", "v_proj"]) if lora else model
    truth = expected_of(model)
    attach(model)
    base = model.base_model.model if lora else model
    mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
    for unit in (*base.model.layers, base.lm_head, model):
        fully_shard(unit, mesh=mesh)
    engine = vars(model)["tgdpo_engine"]
    logps = model(row=engine.row(models.random_pairs()))
    gradients = models.gradients(model, logps)
    found = {name: g.full_tensor() for name, g in gradients.items()}
    assert models.worst_error({"log-probs": logps.detach(), **found}, truth) <= 1e-5


@pytest.mark.usefixtures("_one_rank")
def test_log_probs_that_fsdp_would_round_are_refused() -> None:
    model = models.tiny_model("llama")
    engine = TokenLogps(model)
    mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
    fully_shard(
        model.lm_head, mesh=mesh, mp_policy=MixedPrecisionPolicy(output_dtype=torch.bfloat16)
    )
    with pytest.raises(UsageError, match=r"log-probs come back as torch\.bfloat16"):
        engine(engine.row(models.random_pairs()))
