"""Every door of the system.

A plugin is a module named by an entry point of the group ``tgdpo``; it opens a door by a function
of the hook's name, marked with ``hookimpl``. Hooks only register; they must have no other effect,
and the module must not import torch at its top (``tgdpo --help`` would pay for it).

    from tgdpo_core import TokenReward, hookimpl

    @hookimpl
    def register_token_rewards(register):
        register("caps", Caps)
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

API_VERSION = 1
"""The interface of this tgdpo. A module may say which one it is written for, ``TGDPO_API = 1``, or
from which to which it works, ``TGDPO_API = (1, 2)``."""

OLDEST_API = 1
"""The oldest interface that still works: the one before ``API_VERSION``, for one cycle of releases;
modules of it are loaded with a warning."""

hookspec = pluggy.HookspecMarker("tgdpo")
hookimpl = pluggy.HookimplMarker("tgdpo")

Register = Callable[[str, Any], None]
"""``register(name, factory)``; names are made of a-z, 0-9 and '-'."""


@hookspec
def register_token_rewards(register: Register) -> None:
    """Register ``TokenReward`` classes, or functions of one ``Example`` that return its values."""


@hookspec
def register_transforms(register: Register) -> None:
    """Register ``Transform`` classes."""


@hookspec
def register_shapings(register: Register) -> None:
    """Register ``Shaping`` classes."""


@hookspec
def register_losses(register: Register) -> None:
    """Register ``Loss`` classes."""


@hookspec
def register_datasets(register: Register) -> None:
    """Register ``NamedDataset`` classes."""


@hookspec
def register_judges(register: Register) -> None:
    """Register ``Judge`` classes."""


@hookspec
def register_commands(cli: "click.Group") -> None:
    """Add commands to the ``tgdpo`` command line."""
