"""Prompts read once, however many answers to each are drawn.

All tokens of a prompt but the last are read into the cache; its rows are then repeated for the
answers. It is done in the same way for one answer, so that the sums are the same, too.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


@dataclass(frozen=True)
class Prefilled:
    """What ``generate`` goes on from.

    Attributes:
        input_ids: [B, P] int64, a row for every answer, padded on the left.
        attention_mask: [B, P] int64, 0 where a prompt is padded.
        cache: of the first P - 1 tokens, or None: nothing was read.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    cache: Any

    def inputs(self) -> dict[str, Any]:
        """Return the arguments of ``generate``."""
        cached = {"past_key_values": self.cache} if self.cache is not None else {}
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask, **cached}


def prefill(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]]) -> Prefilled:
    """Return a batch of prompts, read into the cache where the model's cache can be repeated.

    Args:
        model: a causal language model on its device.
        tokenizer: says how to pad.
        prompts: token ids, one list for every answer; equal ones are read once.
    """
    numbers = {tuple(ids): i for i, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    padded = tokenizer.pad(
        {"input_ids": [list(ids) for ids in numbers]}, padding_side="left", return_tensors="pt"
    ).to(model.device)
    ids, mask = padded["input_ids"], padded["attention_mask"]
    rows = torch.tensor([numbers[tuple(ids)] for ids in prompts], device=model.device)
    cache = _read(model, ids[:, :-1], mask[:, :-1])
    if cache is not None:
        cache.batch_select_indices(rows)
    return Prefilled(ids[rows], mask[rows], cache)


def _read(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> Any:
    """Return the cache of some tokens; None where there are none, or it cannot be repeated."""
    if is_sharded(model):  # processes meet in every forward: each must have as many
        return None
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft
    parameters = inspect.signature(type(whole).forward).parameters
    if not ids.shape[1] or not {"past_key_values", "position_ids"} <= set(parameters):
        return None
    if not whole._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=whole.config.get_text_config(decoder=True))
    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
        return None
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
    model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **last_only,
    )
    return cache


def is_sharded(model: Any) -> bool:
    """Return whether the weights of a model lie in several processes (FSDP)."""
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return isinstance(model, FSDPModule | FullyShardedDataParallel)
