"""Compiled layers give what plain ones give, and one compilation serves them all."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.core.engine.attention import models
from tgdpo_core.engine.compiled_layers import compile_layers
from tgdpo_core.errors import UsageError


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_log_probs_and_gradients_are_the_same(family: str) -> None:
    torch._dynamo.reset()
    engine, plain = models.shared_row_results(models.tiny_model(family))
    model = models.tiny_model(family)
    assert compile_layers(model, backend="aot_eager") == 2
    compiled_engine, compiled = models.shared_row_results(model)
    assert compiled_engine.choice.layout == engine.choice.layout == "share"
    assert models.worst_error(compiled, plain) <= 1e-6


def test_a_compiled_model_is_saved_under_the_same_names(tmp_path: Any) -> None:
    model = models.tiny_model("llama")
    names = set(model.state_dict())
    compile_layers(model, backend="eager")
    assert set(model.state_dict()) == names


def test_a_model_without_a_list_of_layers_is_refused() -> None:
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_hidden_layers=3))
    decoder = torch.nn.Linear(2, 2)
    model = SimpleNamespace(config=config, get_decoder=lambda: decoder)
    with pytest.raises(UsageError, match=r"engine\.compile_layers.* no list of its 3 layers"):
        compile_layers(model)
