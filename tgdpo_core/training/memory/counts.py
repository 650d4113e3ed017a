"""The tensors of a model, counted without making them: its config is enough."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.models.adapters import with_adapter_of, with_lora
from tgdpo_core.models.failures import one_line_errors
from tgdpo_core.models.loading import Trust
from tgdpo_core.models.paths import ModelSource
from tgdpo_core.training.memory.parts import Weight

_FUSED = "tgdpo_fused"  # for families that have no sdpa, such as Gemma 2
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def config_of(source: ModelSource, trust: Trust) -> Any:
    """Return the config of the whole model at the bottom of a source.

    Raises:
        UsageError: it cannot be read.
    """
    from transformers import AutoConfig

    root = source.root
    with one_line_errors(f"Model '{source.name}'"):
        return AutoConfig.from_pretrained(
            str(root.location), revision=root.revision, trust_remote_code=trust.remote_code
        )


def empty_model(config: Any, *, dtype: torch.dtype, trust: Trust) -> Any:
    """Return a causal language model without numbers; call it on the meta device.

    Raises:
        UsageError: no such model can be made of the config.
    """
    from transformers import AttentionInterface, AutoModelForCausalLM

    AttentionInterface.register(_FUSED, _fused_attention)
    with one_line_errors("The model of the config"):
        model: Any = AutoModelForCausalLM.from_config(
            config,
            dtype=dtype,
            trust_remote_code=trust.remote_code,
            attn_implementation=_FUSED,
        )
        if model._supports_sdpa:
            model.set_attn_implementation("sdpa")
    return model.train()


def _fused_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with a kernel that keeps no scores, as the engine's do; only sizes are of interest."""
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
    output = torch.nn.functional.scaled_dot_product_attention(
        query, key, value.to(query.dtype), is_causal=True, scale=scaling
    )
    return output.transpose(1, 2).contiguous(), None


def adapted(model: Any, adapter: ModelSource | None, lora: Mapping[str, Any] | None) -> Any:
    """Return the model with a fresh adapter, or the one that it has, or as it is."""
    if lora:
        return with_lora(model, lora)
    return with_adapter_of(model, adapter) if adapter else model


def weights_of(model: Any) -> list[Weight]:
    """Return every tensor of a model, those that are shared once."""
    output = model.get_output_embeddings()
    products = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not output
    }
    found = []
    for name, tensor in model.named_parameters():
        layer = _LAYER.search(f".{name}")
        found.append(
            Weight(
                numel=tensor.numel(),
                itemsize=tensor.element_size(),
                is_trained=tensor.requires_grad,
                is_product=id(tensor) in products,
                layer=int(layer[1]) if layer else None,
            )
        )
    if not found:
        raise UsageError("The model has no weights to count.")
    return found
