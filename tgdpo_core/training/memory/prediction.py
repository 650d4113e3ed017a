"""The memory of a step of a model that need not exist: its config, the row and the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from tgdpo_core.engine.tiles import tile_shape
from tgdpo_core.models.loading import NO_TRUST, Trust
from tgdpo_core.models.paths import ModelSource
from tgdpo_core.training.memory.activations import activations_of
from tgdpo_core.training.memory.counts import adapted, empty_model, weights_of
from tgdpo_core.training.memory.parts import Head, Parts, Row, Setting, memory_parts


@dataclass(frozen=True)
class Trained:
    """What is trained.

    Attributes:
        dtype: of the weights.
        lora: settings of a fresh adapter, or None.
        adapter: where the adapter that is trained on lies, or None.
        trust: what files of the model may do.
    """

    dtype: torch.dtype
    lora: Mapping[str, Any] | None = None
    adapter: ModelSource | None = None
    trust: Trust = NO_TRUST


def predicted_parts(
    config: Any,
    trained: Trained,
    row: Row,
    setting: Setting,
    *,
    device: str = "cuda",
    chunk_size: int | None = None,
) -> Parts:
    """Return the memory of a training step by part, in bytes of one GPU.

    Nothing is loaded and no memory is taken, whatever the size of the model.

    Args:
        config: of a causal language model of transformers.
        trained: what is trained.
        row: the longest row.
        setting: how it is trained.
        device: type of the device, which decides the size of a tile of logits.
        chunk_size: tokens of a tile, if they are given.

    Raises:
        UsageError: no model can be made of the config.
    """

    model = empty_policy(config, trained)
    weights = weights_of(model)
    output, text = model.get_output_embeddings().weight, config.get_text_config()
    shape = (row.responses, len(output), text.hidden_size)
    head = Head(
        vocabulary=len(output),
        width=text.hidden_size,
        tile=tile_shape(shape, device, chunk_size),
        itemsize=output.element_size(),
        is_trained=output.requires_grad,
        is_tied=output is model.get_input_embeddings().weight,
    )
    # Weights that are sharded come in 16 bits already: nothing is cast.
    gathered = torch.bfloat16 if setting.autocast and setting.shards > 1 else trained.dtype
    activations = activations_of(
        config,
        lambda smaller: empty_policy(smaller, replace(trained, dtype=gathered)),
        weights_of,
        tokens=row.tokens,
        autocast=torch.bfloat16 if setting.autocast else None,
        checkpointing=setting.checkpointing,
    )
    return memory_parts(weights, activations, head, row, setting)


def empty_policy(config: Any, trained: Trained) -> Any:
    """Return the model that is trained, its tensors on the meta device."""
    with torch.device("meta"):
        model = empty_model(config, dtype=trained.dtype, trust=trained.trust)
        return adapted(model, trained.adapter, trained.lora)
