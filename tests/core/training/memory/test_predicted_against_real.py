"""What is predicted of a step is what a real step takes: every tensor of it is counted."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tgdpo_core.engine.losses import preference_loss
from tgdpo_core.engine.policy import attach
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.training.memory.activations import LiveBytes
from tgdpo_core.training.memory.parts import Row, Setting
from tgdpo_core.training.memory.prediction import Trained, predicted_parts

SHAPES = {
    "long rows": LlamaConfig(
        vocab_size=4096,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "large vocabulary": LlamaConfig(
        vocab_size=32000,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}
LORA = {"r": 8, "alpha": 16, "target_modules": "all-linear"}
HIGH, LOW = 1.12, 0.97  # allowed: predicted over measured


def measured(config: Any, trained: Trained, setting: Setting) -> tuple[int, Row]:
    """Return the bytes of a second step at most, and its row."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=trained.dtype)
    if trained.lora:
        model = with_lora(model, trained.lora)
    engine = attach(model)
    ids = iter(range(3, 10**6))

    def some(number: int) -> list[int]:
        return [next(ids) % config.vocab_size for _ in range(number)]

    row = engine.row([PairIds(some(60), some(100), some(100)) for _ in range(4)])
    model.train()
    if setting.checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=setting.autocast):
            logps = model(row=row)
        loss = preference_loss(
            logps,
            logps.detach(),
            torch.ones_like(logps),
            row.pair_ids,
            row.is_chosen,
            num_pairs=row.num_pairs,
            beta=0.1,
        )
        loss.losses.sum().backward()

    step()
    optimizer.step()
    held = [*model.parameters(), *(p.grad for p in parameters if p.grad is not None)]
    held += [value for state in optimizer.state.values() for value in state.values()]
    with LiveBytes() as live:
        step()
    return sum(each.nbytes for each in held) + live.most, Row(row.num_tokens, len(row.targets))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "autocast", "checkpointing", "lora"),
    [
        (torch.float32, True, False, None),
        (torch.float32, True, True, None),
        (torch.bfloat16, False, True, None),
        (torch.float32, True, True, LORA),
    ],
    ids=["mixed precision", "computed again", "bfloat16", "adapter"],
)
def test_the_peak_of_a_step_is_the_predicted_one(
    shape: str, dtype: torch.dtype, autocast: bool, checkpointing: bool, lora: Any
) -> None:
    trained = Trained(dtype, lora)
    setting = Setting("adamw_torch_fused", autocast, checkpointing)
    peak, row = measured(SHAPES[shape], trained, setting)
    found = predicted_parts(SHAPES[shape], trained, row, setting, device="cpu")
    assert LOW <= found.total / peak <= HIGH, (found, peak)
