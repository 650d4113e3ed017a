"""Layout, row budget and accumulation decide what a step costs, never what it computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import DataError, MachineError

MakeTrainer = Callable[..., TGDPOTrainer]
# Times, and the epoch: transformers counts it in micro-batches, of which an uneven end has more.
_IGNORED = ("runtime", "per_second", "memory", "total_flos", "epoch")

WAYS: dict[str, dict[str, Any]] = {
    "padded rows": {"layout": "pad"},
    "one pair a row": {"tokens_per_row": 1},
    "padded, one pair a row": {"layout": "pad", "tokens_per_row": 1},
    "a row for the whole step": {"tokens_per_row": 100_000},
    "accumulation": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    "logits in chunks": {"logits_chunk_size": 3},
    "gradient checkpointing": {"gradient_checkpointing": True},
}


def finished(trainer: TGDPOTrainer) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return the log without times, and the weights, after training."""
    trainer.train()
    logs = [
        {name: value for name, value in row.items() if not any(t in name for t in _IGNORED)}
        for row in trainer.state.log_history
    ]
    return logs, trainer.model.state_dict()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # two names of checkpointing in transformers
@pytest.mark.parametrize("way", WAYS)
def test_the_log_and_the_weights_stay_the_same(
    make_trainer: MakeTrainer, perturb: Callable[..., Any], model_folder: Path, way: str
) -> None:
    def trained(run: str, **settings: Any) -> Any:
        common = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "token_reward": "random"}
        # A policy that has left its reference: at margin 0 rounding would decide an accuracy.
        start = {"model": perturb(2), "ref_model": str(model_folder)}
        return finished(make_trainer(run, **{**common, **start, **settings}))

    logs, weights = trained("plain")
    other_logs, other_weights = trained("other", **WAYS[way])
    for row, other in zip(logs, other_logs, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-5)
    for name, weight in weights.items():
        assert (weight - other_weights[name]).abs().max() < 1e-5, name


def test_run_json_says_how_rows_were_laid_out(
    make_trainer: MakeTrainer, run_record: Callable[..., dict[str, Any]]
) -> None:
    trainer = make_trainer()
    trainer.train()
    engine = run_record(trainer.args.output_dir)["engine"]
    assert engine["layout"] == "share"
    assert engine["tokens_per_row"] == 1024
    packing = engine["packing"]
    assert packing["tokens_shared"] + packing["prompt_tokens_shared"] == packing["tokens_separate"]
    assert packing["tokens_separate"] < packing["tokens_padded"]


def test_a_sequence_longer_than_the_models_positions_is_refused(
    make_trainer: MakeTrainer, perturb: Callable[..., Any]
) -> None:
    model = perturb(3)
    model.config.max_position_embeddings = 20
    with pytest.raises(DataError, match=r"train_dataset\[\d+\]: .* the model has 20 positions"):
        make_trainer(model=model)


def test_running_out_of_memory_names_the_row_and_the_remedy(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(max_steps=1)

    def too_much(*args: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(trainer, "_row_loss", too_much)
    with pytest.raises(
        MachineError, match=r"train_dataset\[\d+\].*engine.tokens_per_row \(now 1024"
    ):
        trainer.train()
