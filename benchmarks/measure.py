"""Seconds, CPU-seconds and peak memory of a piece of work in this process."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MIB = 2**20


@dataclass
class Result:
    """What one method cost.

    Attributes:
        method: its name.
        seconds_per_pair: wall time.
        cpu_seconds_per_pair: of all threads of the process.
        tokens_per_pair: tokens that went through the model's forward pass, padding counted.
        static_mib: memory before the measured steps (weights, optimizer, what is kept).
        peak_mib: highest memory during them.
        mfu: model FLOPs utilisation on a GPU, None elsewhere.
    """

    method: str
    seconds_per_pair: float
    cpu_seconds_per_pair: float
    tokens_per_pair: float
    static_mib: float
    peak_mib: float
    mfu: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON."""
        return asdict(self)


class Meter:
    """Starts after the warm-up step, stops after the last one."""

    def __init__(self, device: str) -> None:
        self._device, self._cuda = device, device.startswith("cuda")
        self.tokens = 0

    def start(self) -> None:
        """Reset clocks and the high-water mark of memory."""
        wait_for(self._device)
        self.tokens = 0
        self._static = self._memory()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, method: str, pairs: int) -> Result:
        """Return the cost of what happened since ``start``."""
        wait_for(self._device)
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Result(
            method=method,
            seconds_per_pair=wall / pairs,
            cpu_seconds_per_pair=cpu / pairs,
            tokens_per_pair=self.tokens / pairs,
            static_mib=self._static,
            peak_mib=self._peak(),
        )

    def _memory(self) -> float:
        if self._cuda:
            import torch

            return torch.cuda.memory_allocated() / MIB
        return _status("VmRSS")

    def _peak(self) -> float:
        if self._cuda:
            import torch

            return torch.cuda.max_memory_allocated() / MIB
        return _status("VmHWM")


def wait_for(device: str) -> None:
    """Wait until a device has done its work; a CPU always has."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def _status(name: str) -> float:
    """Return a line of /proc/self/status in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {name}: this benchmark needs Linux")
