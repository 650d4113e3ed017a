"""An adapter added to the weights of its base model, written as a model of its own."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.models import adapters
from tgdpo_core.models.loading import NO_TRUST, Trust, load_causal_lm, load_tokenizer
from tgdpo_core.models.model_folders import replaced, require_replaceable
from tgdpo_core.models.paths import ModelSource, locate
from tgdpo_core.models.precision import Precision

ADAPTER_NOTE = (
    "**Adapter**: its weights are added to those of the base model; `tgdpo merge` does that once "
    "for all.\n"
)
"""What the card of an adapter says, and that of the merged model no more."""

_CARD = "README.md"
_MERGED = "**Merged**: the adapter"


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        folder: where.
        dtype: of its weights.
        base: the model that the adapter stands on.
        moved: share of the adapted weights that the adapter changes in this dtype.
    """

    folder: Path
    dtype: str
    base: str
    moved: float


def merge(
    name: str,
    folder: Path,
    *,
    dtype: str = "auto",
    trust: Trust = NO_TRUST,
    overwrite: bool = False,
) -> Merged:
    """Write the model that an adapter and its base model are together; return what it is.

    The sum is taken in float32, then rounded to the dtype.

    Args:
        name: run folder, checkpoint, adapter folder or Hub id.
        folder: written whole or not at all.
        dtype: of the weights; ``auto``: the one that the base model is stored in.
        trust: what files of the models may do.
        overwrite: replace the merged model that the folder holds.

    Raises:
        UsageError: no adapter, or a folder that holds anything else.
    """
    source = locate(name)
    if source.base is None:
        raise UsageError(f"'{name}' is a whole model: it has no adapter to merge.")
    require_free = partial(require_replaceable, folder, _is_merged, "merged model")
    require_free()
    if not overwrite and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"Folder '{folder}' is not empty: name another, or give --overwrite.")
    target = _stored_dtype(source.root, trust) if dtype == "auto" else getattr(torch, dtype)
    model = load_causal_lm(source, precision=Precision(torch.float32), trust=trust)
    moved = _share_of_moved(model, target)
    whole = adapters.merged(model).to(target)
    tokenizer = load_tokenizer(name, trust_remote_code=trust.remote_code)
    card = _card(source, str(target).removeprefix("torch."))
    with replaced(folder, require_free) as staged:
        whole.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        (staged / _CARD).write_text(card, encoding="utf-8")
    return Merged(folder, str(target).removeprefix("torch."), source.root.name, moved)


def _is_merged(folder: Path) -> bool:
    """Whether the card in a folder says that the model was merged here."""
    card = folder / _CARD
    return card.is_file() and _MERGED in card.read_text(encoding="utf-8", errors="replace")


def _stored_dtype(root: ModelSource, trust: Trust) -> torch.dtype:
    """Return the dtype that a model's config names; float32 where it names none."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        str(root.location), revision=root.revision, trust_remote_code=trust.remote_code
    )
    found = getattr(config, "dtype", None)
    return found if isinstance(found, torch.dtype) else torch.float32


@torch.no_grad()
def _share_of_moved(model: Any, dtype: torch.dtype) -> float:
    """Return the share of adapted weights that differ from the base model's once rounded."""
    moved = total = 0
    for module in model.modules():
        weight = getattr(getattr(module, "base_layer", None), "weight", None)
        names = getattr(module, "active_adapters", ())
        if weight is None or not hasattr(module, "get_delta_weight"):
            continue
        delta = sum(module.get_delta_weight(name) for name in names if name in module.lora_A)
        moved += int(((weight + delta).to(dtype) != weight.to(dtype)).sum())
        total += weight.numel()
    return moved / total if total else 1.0


def _card(source: ModelSource, dtype: str) -> str:
    """Return the model card: the adapter's own if it has one, with what was done to it."""
    own = source.text(_CARD)
    base = source.root.name
    said = (
        f"{_MERGED} `{Path(source.name).name}` added to the weights of "
        f"`{Path(base).name}` in float32, stored in {dtype}.\n"
    )
    if own is None or "tgdpo" not in own:
        return (
            "---\nlibrary_name: transformers\ntags: [tgdpo, merged]\n---\n\n"
            f"# Merged model\n\n{said}"
        )
    whole = own.replace("library_name: peft", "library_name: transformers")
    return f"{whole.replace(ADAPTER_NOTE, '').rstrip()}\n\n{said}"
