"""engine.compile_layers changes how a run computes, not what."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.engine import compiled_layers
from tgdpo_core.training import trainer as trainer_module


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_run_with_compiled_layers_has_the_same_losses(
    make_trainer: Callable[..., TGDPOTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What compiles the graphs is tested in test_compiled_layers.py.
    compile_eagerly = functools.partial(compiled_layers.compile_layers, backend="eager")
    monkeypatch.setattr(trainer_module, "compile_layers", compile_eagerly)
    torch._dynamo.reset()
    losses = []
    for compiled in (False, True):
        trainer = make_trainer(compile_layers=compiled, logging_steps=1, overwrite=True)
        trainer.train()
        assert trainer._facts["engine"]["compiled_layers"] is compiled
        losses.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_compiling_the_whole_model_is_refused_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"torch_compile.*engine\.compile_layers"):
        TGDPOConfig(output_dir=str(tmp_path), use_cpu=True, torch_compile=True)
