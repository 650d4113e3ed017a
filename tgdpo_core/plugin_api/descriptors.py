"""Standard output and error as the system knows them: a plugin may close or redirect them."""

import contextlib
import os
from collections.abc import Iterator

_NAMES = {1: "standard output", 2: "standard error"}


@contextlib.contextmanager
def descriptors_kept(names: list[str]) -> Iterator[None]:
    """Open standard output and error again where the block closes or redirects them.

    Args:
        names: those of what was closed or redirected are added to it.
    """
    copies = {number: copy for number in _NAMES if (copy := _copy(number)) is not None}
    try:
        yield
    finally:
        for number, copy in copies.items():
            if not _are_one_file(number, copy):
                with contextlib.suppress(OSError):  # the copy was closed, too
                    os.dup2(copy, number)
                names.append(_NAMES[number])
            with contextlib.suppress(OSError):
                os.close(copy)


def _copy(number: int) -> int | None:
    """Return a descriptor of the same file; None for one that is closed."""
    try:
        return os.dup(number)
    except OSError:
        return None


def _are_one_file(a: int, b: int) -> bool:
    try:
        return os.path.sameopenfile(a, b)
    except OSError:
        return False
