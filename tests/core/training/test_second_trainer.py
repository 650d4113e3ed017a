"""A model object that has been trained once may be trained again."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOTrainer


def test_a_trained_model_is_its_own_reference_in_a_second_run(
    make_trainer: Callable[..., TGDPOTrainer], model_folder: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    make_trainer("first", model=model, max_steps=1).train()
    before = model.get_output_embeddings().weight.clone()
    second = make_trainer("second", model=model, max_steps=1)
    second.train()
    first_row = second.state.log_history[0]
    torch.testing.assert_close(first_row["loss"], 0.6931, rtol=0, atol=1e-4)
    assert not torch.equal(model.get_output_embeddings().weight, before)
