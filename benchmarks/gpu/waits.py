"""Where the host waits for the card."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

_MESSAGE = "called a synchronizing CUDA operation"


@contextlib.contextmanager
def noted_waits(places: list[str]) -> Iterator[None]:
    """Add the places at which the host waits to a list; without a card none."""
    with warnings.catch_warnings(record=True) as found, _said_by_torch():
        warnings.simplefilter("always")
        yield
    ours = [w for w in found if _MESSAGE in str(w.message)]
    places += [f"{w.filename.split('site-packages/')[-1]}:{w.lineno}" for w in ours]


def noting(function: Callable[..., Any], places: list[str]) -> Callable[..., Any]:
    """Return a function that adds the places at which its calls wait to a list."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with noted_waits(places):
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def _said_by_torch() -> Iterator[None]:
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")  # "error" would end at the first of them
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
