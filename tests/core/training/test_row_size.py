"""Which row budget a run gets, and that the record says why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.training import row_size as rows
from tgdpo_core.training.row_size import row_size, size_within

MakeTrainer = Callable[..., TGDPOTrainer]
GIB = 2**30


@pytest.fixture
def model(model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model_folder)


def config(folder: Path, **settings: Any) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(folder), use_cpu=True, **settings)


def test_the_budget_of_the_user_is_taken(tmp_path: Path, model: Any) -> None:
    found = row_size(model, config(tmp_path, tokens_per_row=777))
    assert found == (777, "set by engine.tokens_per_row")


def test_a_cpu_has_short_rows(tmp_path: Path, model: Any) -> None:
    assert row_size(model, config(tmp_path)).tokens == 1024


def test_a_gpu_has_what_its_memory_allows(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = config(tmp_path)
    monkeypatch.setattr(type(args), "device", torch.device("cuda"))
    monkeypatch.setattr(rows, "free_memory", lambda device: 80 * GIB)
    found = row_size(model, args)
    assert found.tokens == 65_536
    assert found.reason.startswith("80.0 GiB free, ")


def of(model: Any, folder: Path, free: float, shards: int = 1, **settings: Any) -> int:
    args = config(folder, **settings)
    return size_within(model, args, free=int(free * GIB), shards=shards).tokens


def test_more_memory_checkpointing_and_shards_make_rows_longer(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    with torch.device("meta"):
        shape = LlamaConfig(
            vocab_size=49_152,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=24,
            num_attention_heads=16,
        )
        large: Any = AutoModelForCausalLM.from_config(shape)
    assert of(large, tmp_path, 60) < of(large, tmp_path, 80)
    assert of(large, tmp_path, 60) < of(large, tmp_path, 60, gradient_checkpointing=True)
    assert of(large, tmp_path, 60) < of(large, tmp_path, 60, shards=8)
    assert of(large, tmp_path, 60, optim="adamw_torch") < of(large, tmp_path, 60, optim="sgd")
    full = of(large, tmp_path, 60)
    for parameter in large.model.parameters():
        parameter.requires_grad_(False)
    assert full < of(large, tmp_path, 60)


def test_run_json_has_the_budget_and_its_reason(
    make_trainer: MakeTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    trainer = make_trainer(max_steps=1)
    trainer.train()
    engine = run_record(trainer.args.output_dir)["engine"]
    assert engine["tokens_per_row"] == 1024
    assert engine["tokens_per_row_reason"] == "short rows suit the caches of a CPU"


def test_a_resumed_run_keeps_the_budget_it_had(
    make_trainer: MakeTrainer,
    run_record: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1}
    monkeypatch.setattr(rows, "_ON_A_CPU", 333)  # as if there had been other memory
    make_trainer(**settings).train()
    monkeypatch.undo()
    again = make_trainer(**settings)
    assert again._tokens_per_row == 1024
    again.train(resume_from_checkpoint=True)
    engine = run_record(again.args.output_dir)["engine"]
    assert engine["tokens_per_row"] == again._tokens_per_row == 333
    assert engine["tokens_per_row_reason"] == "as before the run was resumed"
