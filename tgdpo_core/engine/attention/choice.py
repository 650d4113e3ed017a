"""Which backends a model may be asked with, best first."""

from collections.abc import Callable

from tgdpo_core.engine.attention.contract import Backend
from tgdpo_core.engine.attention.flex import flex
from tgdpo_core.engine.attention.segments import Segments
from tgdpo_core.engine.attention.varlen import flash_attn_varlen, torch_varlen

MAKERS: dict[str, Callable[[], Backend]] = {
    "varlen": torch_varlen,
    "flash-attn": flash_attn_varlen,
    "flex": flex,
    "segments": Segments,
}


def candidates(wanted: str, device_type: str) -> list[str]:
    """Return the names to try in turn; the last one can always be made.

    Args:
        wanted: a name, or ``auto``.
        device_type: kernels are for CUDA; a CPU goes segment by segment.

    Raises:
        ValueError: no such backend.
    """
    if wanted == "auto":
        return list(MAKERS) if device_type == "cuda" else ["segments"]
    if wanted not in MAKERS:
        raise ValueError(f"attention '{wanted}' is unknown; known: auto, {', '.join(MAKERS)}.")
    return list(dict.fromkeys([wanted, "segments"]))


def make(name: str) -> Backend:
    """Return a backend.

    Raises:
        UnsupportedAttentionError: it is not to be had here.
    """
    return MAKERS[name]()
