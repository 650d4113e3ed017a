"""Frozen models of any kind, for plugins: whole, with a head of their own, none of it random."""

from dataclasses import dataclass
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.models.checks import Fit
from tgdpo_core.models.loading import Trust, load_whole
from tgdpo_core.models.paths import locate, resolve_model_path


@dataclass(frozen=True)
class Checkpoint:
    """Where a model is loaded from, and how.

    Attributes:
        path: run folder, local folder or Hub id.
        revision: Hub revision.
        dtype: of the weights; ``auto``: as stored.
        device: where the model is put.
        trust_remote_code: whether code that the repository brings may run.
        allow_pickle: whether weights that are not safetensors are read.
    """

    path: str
    revision: str | None
    dtype: Any
    device: Any
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @property
    def location(self) -> str:
        """The folder or Hub id that the path stands for."""
        return str(resolve_model_path(self.path))


def load_checkpoint(
    auto_class: Any,
    checkpoint: Checkpoint,
    *,
    advice: str,
    may_lack: str = "",
    unused: str = "lm_head.",
    **kwargs: Any,
) -> Any:
    """Return a model in eval mode on the device; refuse a checkpoint that does not fit it.

    Args:
        auto_class: whose ``from_pretrained`` is called, with ``kwargs``.
        checkpoint: where from, and how.
        advice: what a user may do about a model of another kind.
        may_lack: end of the names that a checkpoint may lack.
        unused: beginning of the names that this kind of model does not use.
        kwargs: of ``from_pretrained``.

    Raises:
        UsageError: it cannot be read, lacks tensors, or holds some that the model has no use for.
    """
    source = locate(checkpoint.path, checkpoint.revision)
    if source.base:
        raise UsageError(
            f"Model '{source.name}' is an adapter: merge it into its base model first."
        )
    trust = Trust(checkpoint.trust_remote_code, checkpoint.allow_pickle)
    fit = Fit(may_lack, unused, advice)
    model = load_whole(auto_class, source, dtype=checkpoint.dtype, trust=trust, fit=fit, **kwargs)
    model.config.use_cache = False
    return model.requires_grad_(False).eval().to(checkpoint.device)
