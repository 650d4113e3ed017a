"""torch's allocator of GPU memory, which reads its settings from the environment, once.

Rows of many lengths leave gaps between blocks of fixed segments; segments that can grow leave none.
This module imports no torch.
"""

from collections.abc import Mapping, MutableMapping

VARIABLE = "PYTORCH_ALLOC_CONF"  # since torch 2.9
_OLDER = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
_GROWING = "expandable_segments:True"


def use_growing_segments(environment: MutableMapping[str, str]) -> None:
    """Ask for segments that grow, unless the environment says something about the allocator.

    It must be called before torch is imported.
    """
    if not allocator_settings(environment):
        environment[VARIABLE] = _GROWING


def allocator_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an environment says about the allocator, by variable."""
    return {name: environment[name] for name in (VARIABLE, *_OLDER) if name in environment}
