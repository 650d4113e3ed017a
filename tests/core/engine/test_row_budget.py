"""The row budget: what a token keeps in memory, and how many fit."""

from typing import Any

import pytest
import torch
import transformers as tf

from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.row_budget import RowMemory, budget_within, optimizer_bytes, row_memory
from tgdpo_core.engine.rows import PairIds

GIB = 2**30
PRECISIONS = {
    "float32": (torch.float32, False),
    "bfloat16": (torch.bfloat16, False),
    "autocast": (torch.float32, True),
}
LLAMA_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}


def tiny(name: str, layers: int) -> Any:
    return getattr(tf, name)(
        vocab_size=200,
        hidden_size=128,
        intermediate_size=448,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
        **({"head_dim": 16} if name == "Qwen3Config" else {}),
        **({"attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0} if name == "GPT2Config" else {}),
    )


def kept(config: Any, dtype: torch.dtype, *, autocast: bool) -> tuple[int, int]:
    """Return the bytes that autograd keeps of a row beyond weights, and the row's tokens."""
    model = tf.AutoModelForCausalLM.from_config(config, dtype=dtype).train()
    engine = TokenLogps(model)
    row = engine.row([PairIds(range(1, 40), range(1, 60), range(1, 70)) for _ in range(3)])
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast),
    ):
        logps = engine(row)
    assert logps.requires_grad
    return sum(t.untyped_storage().nbytes() for t in found.values()), row.num_tokens


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["LlamaConfig", "Qwen3Config", "GPTNeoXConfig", "GPT2Config"])
def test_the_estimate_of_a_layer_is_near_what_autograd_keeps(name: str, precision: str) -> None:
    dtype, autocast = PRECISIONS[precision]
    (few, tokens), (many, _) = (kept(tiny(name, n), dtype, autocast=autocast) for n in (1, 3))
    weight = dtype.itemsize
    sizes = {"weight_bytes": weight, "product_bytes": 2 if autocast else weight}
    low, high = (row_memory(tiny(name, n), checkpointing=False, **sizes).per_token for n in (1, 3))
    assert 0.85 <= (high - low) / ((many - few) / tokens) <= 2


def test_checkpointing_keeps_a_layers_input_in_place_of_the_layer() -> None:
    config = tf.LlamaConfig(**LLAMA_8B)
    sizes: dict[str, Any] = {"weight_bytes": 2, "product_bytes": 2}
    whole = row_memory(config, checkpointing=False, **sizes)
    again = row_memory(config, checkpointing=True, **sizes)
    assert whole.fixed == again.fixed
    assert whole.per_token == pytest.approx(8.05 * 2**20, rel=0.02)
    assert again.per_token == pytest.approx(0.79 * 2**20, rel=0.02)


def test_experts_of_a_token_count_together() -> None:
    dense = tf.MixtralConfig(**LLAMA_8B, num_experts_per_tok=1)
    two = tf.MixtralConfig(**LLAMA_8B, num_experts_per_tok=2)
    memory = [
        row_memory(c, weight_bytes=2, product_bytes=2, checkpointing=False) for c in (dense, two)
    ]
    assert memory[1].per_token > 1.4 * memory[0].per_token


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (-50 * GIB, 2048),  # never below: the run says by itself that it does not fit
        (0, 2048),
        (4 * GIB, 2048),
        (8 * GIB, 5120),  # 6 of them, 1 fixed: 5120 at 1 MiB
        (8 * GIB + 4 * 2**20, 5120),  # full thousands only
        (500 * GIB, 65_536),
    ],
)
def test_a_budget_is_a_multiple_of_1024_within_bounds(free: int, expected: int) -> None:
    assert budget_within(free, RowMemory(2**20, GIB)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adamw_torch_fused", 8),
        ("adamw_torch", 8),
        ("sgd", 0),
        ("adafactor", 0),
        ("lion_32bit", 4),
        ("adamw_8bit", 2),
        ("adamw_torch_4bit", 1),
        ("paged_adamw_8bit", 0),
        ("one of tomorrow", 8),
    ],
)
def test_an_optimizer_keeps_bytes_for_each_trained_number(name: str, expected: int) -> None:
    assert optimizer_bytes(name, 4) == expected
