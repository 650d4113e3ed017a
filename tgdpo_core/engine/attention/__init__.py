"""Attention over shared rows: one door (``door``), several backends behind it (``choice``)."""

from tgdpo_core.engine.attention.choice import candidates, make
from tgdpo_core.engine.attention.contract import (
    Backend,
    LayerSettings,
    RowAttention,
    UnsupportedAttentionError,
)
from tgdpo_core.engine.attention.door import NAME, counted, register, shared_attention
from tgdpo_core.engine.attention.implementation import (
    implementation,
    own_config,
    plain_implementation,
    use,
)
from tgdpo_core.engine.attention.recorder import Recorder
from tgdpo_core.engine.attention.segments import Segments

__all__ = [
    "NAME",
    "Backend",
    "LayerSettings",
    "Recorder",
    "RowAttention",
    "Segments",
    "UnsupportedAttentionError",
    "candidates",
    "counted",
    "implementation",
    "make",
    "own_config",
    "plain_implementation",
    "register",
    "shared_attention",
    "use",
]
