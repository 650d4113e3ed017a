"""TGDPO: DPO in which every response token has its own weight (arXiv 2506.14574).

The public names are resolved on first use, so that importing the package loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tgdpo_core.engine.losses import PairLosses as PairLosses
    from tgdpo_core.engine.losses import PairTerms as PairTerms
    from tgdpo_core.errors import TgdpoError as TgdpoError
    from tgdpo_core.models.checkpoints import Checkpoint as Checkpoint
    from tgdpo_core.models.checkpoints import load_checkpoint as load_checkpoint
    from tgdpo_core.models.fingerprints import model_fingerprint as model_fingerprint
    from tgdpo_core.models.paths import resolve_model_path as resolve_model_path
    from tgdpo_core.plugin_api.datasets import NamedDataset as NamedDataset
    from tgdpo_core.plugin_api.hookspecs import hookimpl as hookimpl
    from tgdpo_core.plugin_api.judges import Comparison as Comparison
    from tgdpo_core.plugin_api.judges import Explained as Explained
    from tgdpo_core.plugin_api.judges import Generation as Generation
    from tgdpo_core.plugin_api.judges import Judge as Judge
    from tgdpo_core.plugin_api.judges import PairLikelihood as PairLikelihood
    from tgdpo_core.plugin_api.judges import Unjudged as Unjudged
    from tgdpo_core.plugin_api.losses import Loss as Loss
    from tgdpo_core.plugin_api.options import option as option
    from tgdpo_core.plugin_api.rewards import Cost as Cost
    from tgdpo_core.plugin_api.rewards import Example as Example
    from tgdpo_core.plugin_api.rewards import Spans as Spans
    from tgdpo_core.plugin_api.rewards import TokenReward as TokenReward
    from tgdpo_core.plugin_api.scoring_context import ScoringContext as ScoringContext
    from tgdpo_core.plugin_api.shapings import Shaping as Shaping
    from tgdpo_core.plugin_api.transforms import Transform as Transform
    from tgdpo_core.store.kept_replies import KeptReplies as KeptReplies
    from tgdpo_core.training.config import TGDPOConfig as TGDPOConfig
    from tgdpo_core.training.trainer import TGDPOTrainer as TGDPOTrainer

_HOME = {
    "Checkpoint": "tgdpo_core.models.checkpoints",
    "Cost": "tgdpo_core.plugin_api.rewards",
    "Example": "tgdpo_core.plugin_api.rewards",
    "Comparison": "tgdpo_core.plugin_api.judges",
    "Explained": "tgdpo_core.plugin_api.judges",
    "Generation": "tgdpo_core.plugin_api.judges",
    "Judge": "tgdpo_core.plugin_api.judges",
    "KeptReplies": "tgdpo_core.store.kept_replies",
    "Loss": "tgdpo_core.plugin_api.losses",
    "NamedDataset": "tgdpo_core.plugin_api.datasets",
    "PairLosses": "tgdpo_core.engine.losses",
    "PairTerms": "tgdpo_core.engine.losses",
    "PairLikelihood": "tgdpo_core.plugin_api.judges",
    "Unjudged": "tgdpo_core.plugin_api.judges",
    "ScoringContext": "tgdpo_core.plugin_api.scoring_context",
    "Shaping": "tgdpo_core.plugin_api.shapings",
    "Spans": "tgdpo_core.plugin_api.rewards",
    "TGDPOConfig": "tgdpo_core.training.config",
    "TGDPOTrainer": "tgdpo_core.training.trainer",
    "TgdpoError": "tgdpo_core.errors",
    "TokenReward": "tgdpo_core.plugin_api.rewards",
    "Transform": "tgdpo_core.plugin_api.transforms",
    "hookimpl": "tgdpo_core.plugin_api.hookspecs",
    "load_checkpoint": "tgdpo_core.models.checkpoints",
    "model_fingerprint": "tgdpo_core.models.fingerprints",
    "option": "tgdpo_core.plugin_api.options",
    "resolve_model_path": "tgdpo_core.models.paths",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name from its room."""
    if name not in _HOME:
        raise AttributeError(f"module 'tgdpo_core' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
