"""Frozen models from checkpoints that fit them: no tensor is missing, none is left over."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checkpoint:
    """Where a model is loaded from, and how.

    Attributes:
        path: local folder or Hub id.
        revision: Hub revision.
        dtype: of the weights; ``auto``: as stored.
        device: where the model is put.
        trust_remote_code: whether code that the repository brings may run.
    """

    path: str
    revision: str | None
    dtype: Any
    device: Any
    trust_remote_code: bool


def load_frozen(
    auto_class: Any,
    source: Checkpoint,
    *,
    advice: str,
    may_lack: str = "",
    unused: str = "lm_head.",
    **kwargs: Any,
) -> Any:
    """Return a model in eval mode on the device; refuse a checkpoint that does not fit it.

    Args:
        auto_class: whose ``from_pretrained`` is called, with ``kwargs``.
        source: where from, and how.
        advice: what a user may do about a model of another kind.
        may_lack: end of the names that a checkpoint may lack.
        unused: beginning of the names that this kind of model does not use.
        kwargs: of ``from_pretrained``.

    Raises:
        ValueError: tensors that the checkpoint lacks, or that the model has no use for.
        OSError: there is nothing that can be loaded.
        RuntimeError: a tensor of the checkpoint has another shape.
    """
    model, report = auto_class.from_pretrained(
        source.path,
        revision=source.revision,
        dtype=source.dtype,
        trust_remote_code=source.trust_remote_code,
        output_loading_info=True,
        **kwargs,
    )
    missing = [k for k in report["missing_keys"] if not may_lack or not k.endswith(may_lack)]
    if missing:
        raise ValueError(
            f"the checkpoint lacks {min(missing)} ({len(missing)} tensors), which would be random: "
            f"it is a model of another kind, {advice}"
        )
    surplus = [k for k in report["unexpected_keys"] if not unused or not k.startswith(unused)]
    if surplus:
        raise ValueError(
            f"the checkpoint holds {min(surplus)} ({len(surplus)} tensors), which are not used: "
            f"it is a model of another kind, {advice}"
        )
    model.config.use_cache = False
    return model.requires_grad_(False).eval().to(source.device)
