"""The only way in which the core calls a plugin: named errors, no side effects, no silent hang."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.interrupts import interrupts_noted
from tgdpo_core.plugin_api.watchdog import TIMEOUT as TIMEOUT
from tgdpo_core.plugin_api.watchdog import has_time_limit as has_time_limit
from tgdpo_core.plugin_api.watchdog import is_time_limit as is_time_limit
from tgdpo_core.plugin_api.watchdog import patience_and_limit as patience_and_limit
from tgdpo_core.plugin_api.watchdog import watched
from tgdpo_core.scoring.event_loop import finished
from tgdpo_core.scoring.plugin_errors import named_errors
from tgdpo_core.scoring.process_state import settings_kept_by


def call_plugin(
    who: str, where: str, function: Callable[..., Any], *args: Any, draws: bool = True
) -> Any:
    """Return ``function(*args)``; what it raises is raised again with the plugin's name.

    The global random states of Python, numpy and torch, and the settings of the process, are what
    they were when it returns.

    Args:
        who: how messages name the plugin.
        where: what it is given: rows, or the part of its life.
        function: the plugin's.
        args: its arguments.
        draws: whether it may draw from the global random states. Where values are made it may not:
            they would depend on order and batch size.

    Raises:
        PluginError: whatever the plugin raised, chained; it hung; it drew random numbers; it
            changed a setting of the process, such as the gradient mode or the working directory.
    """
    forbidden_to = None if draws else f"{who}, {where}"
    with settings_kept_by(f"{who}, {where}"), random_states_kept(forbidden_to):
        return call_often(who, where, function, *args)


def call_on_batch(
    who: str,
    where: str,
    function: Callable[[Any], Any],
    batch: Sequence[Any],
    *,
    draws: bool = True,
) -> Any:
    """Return ``function(list of the batch)`` as ``call_plugin`` does; results go by position.

    The list is the plugin's own, and it must be as it was when the plugin returns: whether results
    follow the old order or the new one cannot be told, so neither is guessed.

    Raises:
        PluginError: as ``call_plugin``; the plugin sorted, reversed, emptied or extended its batch.
    """
    given = list(batch)
    results = call_plugin(who, where, function, given, draws=draws)
    require_batch_kept(f"{who}, {where}", given, batch)
    return results


def require_batch_kept(who: str, given: Sequence[Any], batch: Sequence[Any]) -> None:
    """Raise ``PluginError`` unless a list still holds the items of a batch, in its order."""
    if len(given) != len(batch):
        raise PluginError(
            f"{who}: the plugin changed its batch, which had {len(batch)} items and then "
            f"{len(given)}. Results belong to the items by position: work on a copy, list(batch)."
        )
    if any(a is not b for a, b in zip(given, batch, strict=True)):
        raise PluginError(
            f"{who}: the plugin changed the order of its batch in place (sort, reverse?). Results "
            "belong to the items by position: work on a copy, sorted(batch), and return results "
            "in the order that was given."
        )


def call_often(who: str, where: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``, or what it awaits, without a look at what must be kept.

    For what is called at every response: the look takes longer than the call. It is taken once,
    around the pass over the training set before training (``process_kept``).
    """
    with named_errors(who, where), watched(who, where):
        return finished(function(*args))


@contextlib.contextmanager
def process_kept(who: str) -> Iterator[None]:
    """Put random states and settings of the process back; ``PluginError`` if one moved."""
    # Signals are listened to once: around each of the many calls it would take longer than they do.
    with settings_kept_by(who), random_states_kept(who), interrupts_noted():
        yield


# -- random states --------------------------------------------------------------------------------


@contextlib.contextmanager
def random_states_kept(forbidden_to: str | None) -> Iterator[None]:
    """Put the global random states back; ``PluginError`` if one moved that must not."""
    python, array, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
        moved = {
            "random": random.getstate() != python,
            "numpy": not _equal(np.random.get_state(), array),
            "torch": not torch.equal(torch.get_rng_state(), tensor),
            "torch.cuda": bool(cuda) and not _all_equal(torch.cuda.get_rng_state_all(), cuda),
        }
    finally:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(tensor)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
    drawn = [name for name, has_moved in moved.items() if has_moved]
    if forbidden_to and drawn:
        raise PluginError(
            f"{forbidden_to}: the plugin drew from (or seeded) the global random state of "
            f"{drawn[0]}, so its values depend on the order of the rows. Make a generator of its "
            "own, seeded with example.uid."
        )


def _equal(a: Any, b: Any) -> bool:
    """Whether two states of numpy's legacy generator are the same."""
    return bool(a[2:] == b[2:] and np.array_equal(a[1], b[1]))


def _all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
