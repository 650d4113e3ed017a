"""The rehearsal of a dry run computes as training will."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOConfig
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.loss_choice import resolve_loss
from tgdpo_core.training.given_data import given_set
from tgdpo_core.training.rehearsal import rehearse


def rehearsed(model: Any, tokenizer: Any, rows: Any, folder: Path, **settings: Any) -> Any:
    args = TGDPOConfig(output_dir=str(folder), use_cpu=True, **settings)
    pairs = given_set(rows, tokenizer, args, "rows").tokens
    loss = resolve_loss(args.loss_type, PluginManager(env={"TGDPO_LOAD_PLUGINS": ""}))
    return rehearse(model, pairs, args, loss=loss, steps=10, pairs_per_step=4)


@pytest.mark.parametrize("bf16", [False, True])
def test_it_has_the_mixed_precision_of_the_run(
    bf16: bool, model_folder: Path, small_tokenizer: Any, small_rows: Any, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    seen: list[bool] = []
    model.model.layers[0].mlp.register_forward_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    report = rehearsed(model, small_tokenizer, small_rows, tmp_path, bf16=bf16)
    # The probe of the layout is plain float32; the two passes come last.
    assert seen[-2:] == [bf16, bf16]
    assert report["estimated_hours"] == pytest.approx(
        10 * report["estimated_seconds_per_step"] / 3600
    )


def test_it_computes_activations_again_if_the_run_does(
    model_folder: Path, small_tokenizer: Any, small_rows: Any, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    calls: list[bool] = []
    model.model.layers[0].self_attn.q_proj.register_forward_hook(lambda *_: calls.append(True))
    rehearsed(model, small_tokenizer, small_rows, tmp_path)
    once = len(calls)
    rehearsed(model, small_tokenizer, small_rows, tmp_path, gradient_checkpointing=True)
    assert len(calls) - once == once + 2  # both passes compute the layer again on their way back


def test_a_loss_that_compares_distributions_is_rehearsed_with_its_cost(
    model_folder: Path, small_tokenizer: Any, small_rows: Any, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    report = rehearsed(model, small_tokenizer, small_rows, tmp_path, loss_type="tdpo2")
    assert report["longest_row"]["seconds"] > 0
    assert all(p.grad is None for p in model.parameters())
