"""Decoder layers compiled one by one: fewer and larger kernels, one compilation for all layers."""

from typing import Any

import torch

from tgdpo_core.errors import UsageError


def compile_layers(model: Any, *, backend: str = "inductor") -> int:
    """Compile every decoder layer of a model in place, for rows of all lengths; return how many.

    The engine's probe then compares what the compiled layers give. What lies outside of the layers
    (embedding, head, loss) is not compiled: its shapes are those of each row.

    Args:
        model: a causal language model of transformers, or one wrapped by peft.
        backend: of ``torch.compile``.

    Raises:
        UsageError: the model has no list of layers.
    """
    number = model.config.get_text_config().num_hidden_layers
    lists = [
        module
        for module in model.get_decoder().modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == number
    ]
    if not lists:
        raise UsageError(
            f"engine.compile_layers: {type(model).__name__} has no list of its {number} layers. "
            "Leave it out."
        )
    for layer in lists[0]:
        layer.compile(dynamic=True, backend=backend)
    return number
