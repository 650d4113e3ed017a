"""K11, P6: numbers that are not finite stop the run before the update; nothing bad is saved."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tgdpo_core import Shaping, TGDPOTrainer
from tgdpo_core.errors import NumericError
from tgdpo_core.training.durability.checkpoints import Checkpoints

Build = Callable[..., TGDPOTrainer]
BAD_STEP = 3


def nan_loss(trainer: TGDPOTrainer) -> None:
    embeddings = trainer.model.get_input_embeddings()
    embeddings.register_forward_hook(lambda module, ids, output: output * torch.nan)


def nan_gradient(trainer: TGDPOTrainer) -> None:
    next(iter(trainer.model.parameters())).register_hook(lambda grad: grad * torch.nan)


def inf_gradient(trainer: TGDPOTrainer) -> None:
    next(iter(trainer.model.parameters())).register_hook(lambda grad: grad * torch.inf)


def nan_parameter(trainer: TGDPOTrainer) -> None:
    with torch.no_grad():  # of a token that no row has: neither loss nor gradient shows it
        trainer.model.get_input_embeddings().weight[trainer.processing_class.pad_token_id] = (
            torch.nan
        )


def nan_state(trainer: TGDPOTrainer) -> None:
    state = next(iter(trainer.optimizer.state.values()))
    state["exp_avg_sq"].fill_(torch.inf)


FAULTS = {
    "loss": (nan_loss, "The loss of train_dataset"),
    "gradient": (nan_gradient, "The gradient norm is nan at step 3"),
    "infinite gradient": (inf_gradient, "The gradient norm is (nan|inf) at step 3"),
    "parameter": (nan_parameter, "weights are not finite"),
    "optimizer state": (nan_state, "exp_avg_sq of parameter 0: not finite"),
}


def broken(build: Build, at: Any, folder: Path, fault: Any, step: int = BAD_STEP) -> TGDPOTrainer:
    trainers: list[TGDPOTrainer] = []
    trainers.append(build(folder, callbacks=[at(step, lambda: fault(trainers[0]))]))
    return trainers[0]


@pytest.mark.parametrize("kind", FAULTS)
def test_K11_a_bad_number_ends_the_run_and_no_bad_weight_is_on_the_disk(
    kind: str, tmp_path: Path, build: Build, at: Any, record: Callable[[Path], dict[str, Any]]
) -> None:
    fault, message = FAULTS[kind]
    with pytest.raises(NumericError, match=message):
        broken(build, at, tmp_path / "run", fault).train()
    found = record(tmp_path / "run")
    assert (found["status"], found["exit_code"]) == ("failed", 6)
    for path in (tmp_path / "run").rglob("model.safetensors"):
        assert all(bool(t.isfinite().all()) for t in load_file(path).values()), path
    newest = Checkpoints(tmp_path / "run" / "checkpoints").newest_whole()
    assert newest.path
    assert newest.path.name == "checkpoint-2"


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_K11_a_bad_loss_or_gradient_changes_no_weight(
    kind: str, tmp_path: Path, build: Build, at: Any
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    trainers: list[TGDPOTrainer] = []

    def look_then_break() -> None:
        seen.append({k: v.clone() for k, v in trainers[0].model.state_dict().items()})
        FAULTS[kind][0](trainers[0])

    trainers.append(build(tmp_path / "run", callbacks=[at(BAD_STEP, look_then_break)]))
    with pytest.raises(NumericError):
        trainers[0].train()
    after = trainers[0].model.state_dict()
    assert all(torch.equal(seen[0][name], after[name]) for name in after)


def test_K11_the_batch_is_kept_for_a_look(tmp_path: Path, build: Build, at: Any) -> None:
    with pytest.raises(NumericError, match=r"failure/step-3"):
        broken(build, at, tmp_path / "run", nan_loss).train()
    place = tmp_path / "run" / "failure" / "step-3"
    kept = json.loads((place / "rank-0.json").read_text())
    assert len(kept["rows"]) == 4
    assert all(row["where"].startswith("train_dataset[") for row in kept["rows"])
    tensors = load_file(place / "rank-0.safetensors")
    names = {name.partition(".")[2] for name in tensors}
    assert {"losses", "policy_logps", "reference_logps", "token_rewards", "weights"} <= names


def test_K11_a_gradient_that_is_bad_at_the_last_step_leaves_no_model(
    tmp_path: Path, build: Build, at: Any
) -> None:
    with pytest.raises(NumericError):
        broken(build, at, tmp_path / "run", nan_gradient, step=5).train()
    assert not (tmp_path / "run" / "model").exists()


def test_K11_a_run_stopped_by_a_bad_number_resumes_exactly(
    tmp_path: Path, whole: Path, build: Build, at: Any, require_equal: Callable[..., None]
) -> None:
    with pytest.raises(NumericError):
        broken(build, at, tmp_path / "run", nan_gradient).train()
    build(tmp_path / "run").train(resume_from_checkpoint=True)
    require_equal(tmp_path / "run", whole)


class Huge(Shaping):
    """Weights with which no gradient is finite."""

    def f_w(self, rewards: torch.Tensor) -> torch.Tensor:
        return torch.full_like(rewards, 1e36)

    def f_l(self, rewards: torch.Tensor) -> torch.Tensor:
        return torch.full_like(rewards, 1e36)


def test_P6_weights_without_a_finite_gradient_are_refused_before_training(
    tmp_path: Path, build: Build
) -> None:
    with pytest.raises(NumericError, match=r"Token weights reach 1e\+36"):
        build(tmp_path / "run", shaping=("huge", Huge()))
    assert not (tmp_path / "run" / "run.json").exists()
