"""What a launcher may ask for, and what run.json says about the processes."""

from pathlib import Path

import pytest

from tgdpo_core import TGDPOConfig
from tgdpo_core.errors import UsageError
from tgdpo_core.failures import translated
from tgdpo_core.training.processes import process_facts


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_FSDP", "FSDP_VERSION"):
        monkeypatch.delenv(name, raising=False)


def settings(folder: Path, **kwargs: object) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(folder), use_cpu=True, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"ACCELERATE_USE_DEEPSPEED": "true"},
            "DeepSpeed is not supported: .* use FSDP2 in its place",
        ),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM replaces the training loop"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, "parallelism would split responses"),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP version 1 is not supported: set fsdp_version: 2"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, r"launcher's mixed_precision is bf16.*say no"),
    ],
)
def test_what_would_train_something_else_is_refused_in_one_line(
    environment: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message) as caught:
        settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_deepspeed_is_refused_with_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'deepspeed'.*use FSDP2 in its place"):
        settings(tmp_path, deepspeed={"zero_optimization": {"stage": 2}})


def test_mixed_precision_of_launcher_and_settings_may_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert settings(tmp_path, bf16=True).mixed_precision == "bf16"


def test_fsdp_that_became_data_parallelism_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    args = settings(tmp_path)
    with pytest.raises(UsageError, match="FSDP was asked for, but accelerate shards nothing here"):
        process_facts(args, is_sharded=False)


def test_the_processes_of_one_are_recorded(tmp_path: Path) -> None:
    assert process_facts(settings(tmp_path), is_sharded=False) == {
        "world_size": 1,
        "per_node": 1,
        "nodes": 1,
        "sharding": "none",
        "backend": None,
        "device": "cpu",
    }


def test_parameters_outside_the_loss_are_explained() -> None:
    error = translated(
        RuntimeError("... by passing the keyword argument find_unused_parameters=True to")
    )
    assert isinstance(error, UsageError)
    assert "training.ddp_find_unused_parameters=true" in str(error)
