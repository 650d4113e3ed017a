import ctypes
import sys
from pathlib import Path

import pytest

from tgdpo_core.free_memory import FreeMemory

_BLOCK = 100_000  # bytes; larger ones would be mapped one by one
_BLOCKS = 600


def resident() -> int:
    """Return the bytes of this process that are in memory and in no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("seconds", "gives_back"), [(0.0, True), (1e9, False)])
def test_what_was_freed_below_a_block_in_use_goes_back_when_it_is_time(
    seconds: float, gives_back: bool
) -> None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        pytest.skip("not glibc")
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.malloc_trim(0)
    memory = FreeMemory(seconds)
    blocks = [libc.malloc(_BLOCK) for _ in range(_BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK)
    before = resident()
    for block in blocks[:-1]:
        libc.free(block)
    memory.give_back()
    given_back = before - resident()
    libc.free(blocks[-1])
    libc.malloc_trim(0)
    assert (given_back > 0.8 * _BLOCK * _BLOCKS) is gives_back
