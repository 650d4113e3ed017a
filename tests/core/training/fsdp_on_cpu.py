"""Runs `tgdpo` with FSDP on CPUs: accelerate runs plain data parallelism there, and torch does not.

accelerate launch --config_file CONFIG tests/core/training/fsdp_on_cpu.py train ...
"""

from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


def allow_fsdp_on_cpu() -> None:
    """Let accelerate's state of several CPU processes be FSDP where FSDP was asked for."""
    original = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        is_new = not AcceleratorState._shared_state
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if is_new and fsdp_plugin and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init


if __name__ == "__main__":
    import torch

    from tgdpo_cli.main import main

    torch.set_num_threads(1)
    allow_fsdp_on_cpu()
    main()
