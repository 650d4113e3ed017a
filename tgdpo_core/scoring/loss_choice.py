"""Which loss a run has: found by name, with the options that a recipe gives it."""

from collections.abc import Mapping
from typing import Any

from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.needs import KNOWN, of_policy
from tgdpo_core.scoring.origins import named, with_origin

_SHARED = {"label_smoothing": 0.0, "simpo_gamma": 0.5}
"""Settings of a recipe's section ``loss`` that are options of a loss, and their defaults."""


def resolve_loss(
    name: str, plugins: PluginManager, args: Mapping[str, Any] | None = None, **shared: float
) -> tuple[str, Loss]:
    """Return a loss with its name.

    Args:
        name: as registered.
        plugins: where it is found.
        args: its options.
        shared: ``label_smoothing`` and ``simpo_gamma`` of the recipe; options of the losses that
            have them, refused where they would change nothing.

    Raises:
        PluginError: unknown name, options that do not fit, or needs that nobody knows.
        UsageError: a setting that has no meaning for the loss.
    """
    if not plugins.names("loss"):
        raise PluginError(
            "No loss is registered, not even the built-in ones: the installed metadata of tgdpo is "
            "older than its code. Install it again: pip install -e . in the checkout."
        )
    found = plugins.find("loss", name)
    options = dict(args or {})
    known = set(getattr(found.factory, "__dataclass_fields__", {}))
    for key, value in shared.items():
        if key in options and value != _SHARED[key]:
            raise UsageError(f"loss.{key} and loss.args.{key} are both given; keep one.")
        if key in known:
            options.setdefault(key, value)
        elif value != _SHARED[key]:
            raise UsageError(
                f"{key} has no meaning for the loss '{name}'; set it to {_SHARED[key]:g}."
            )
    return checked_loss(name, with_origin(found.create(options), found.origin))


def checked_loss(name: str, loss: Any) -> tuple[str, Loss]:
    """Return a loss with its name; ``PluginError`` where it is none or needs what nobody knows."""
    who = named("loss", name, loss)
    if not isinstance(loss, Loss):
        raise PluginError(f"{who}: {type(loss).__name__} is no Loss.")
    try:
        needs = tuple(loss.required())
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{who} failed to say what it requires: {type(error).__name__}: {error}"
        ) from error
    unknown = sorted(set(needs) - set(of_policy(needs)))
    if unknown:
        raise PluginError(f"{who} needs '{unknown[0]}', unknown here. Known: {', '.join(KNOWN)}.")
    return name, loss


def describe(loss: tuple[str, Loss]) -> dict[str, Any]:
    """Return JSON for run.json and the identity of a run."""
    return {
        "name": loss[0],
        "class": f"{type(loss[1]).__module__}.{type(loss[1]).__qualname__}",
        "options": loss[1].options(),
        "needs": list(loss[1].required()),
    }


def loss_name(loss: tuple[str, Loss]) -> str:
    """Return how messages name a loss."""
    return named("loss", *loss)
