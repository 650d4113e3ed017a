"""What a plugin's hooks must keep to: API version, names of hooks, base classes."""

import inspect
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pluggy

from tgdpo_core.errors import PluginError, did_you_mean
from tgdpo_core.plugin_api import hookspecs
from tgdpo_core.plugin_api.datasets import NamedDataset
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.rewards import Example, TokenReward
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform

HOOK_OF_KIND = {
    "token-reward": "register_token_rewards",
    "transform": "register_transforms",
    "shaping": "register_shapings",
    "loss": "register_losses",
    "dataset": "register_datasets",
    "judge": "register_judges",
}
_BASE_OF_KIND: dict[str, type] = {
    "token-reward": TokenReward,
    "transform": Transform,
    "shaping": Shaping,
    "loss": Loss,
    "dataset": NamedDataset,
    "judge": Judge,
}
COMMANDS_HOOK = "register_commands"
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def require_api(module: ModuleType) -> str | None:
    """Return a word about a module that is written for an interface that ends; None of others.

    Raises:
        PluginError: it works with no interface that this tgdpo has.
    """
    declared: Any = getattr(module, "TGDPO_API", hookspecs.API_VERSION)
    both = declared if isinstance(declared, tuple) else (declared, declared)
    if len(both) != 2 or not all(isinstance(n, int) for n in both) or both[0] > both[1]:
        raise PluginError(
            f"TGDPO_API is {declared!r}; it must be a number, or the first and the last one."
        )
    first, last = both
    oldest, ours = hookspecs.OLDEST_API, hookspecs.API_VERSION
    if last < oldest or first > ours:
        wanted = f"{first}" if first == last else f"{first} to {last}"
        has = f"API {ours}" if oldest == ours else f"API {oldest} to {ours}"
        raise PluginError(
            f"it needs plugin API {wanted}; this tgdpo has {has}. Install matching versions of "
            "both."
        )
    if last < ours:
        return (
            f"is written for plugin API {last}, which works in this cycle of tgdpo and not in the "
            f"next: API {ours} is the present one. See CHANGELOG.md, and say TGDPO_API = "
            f"({last}, {ours}) once it works with both."
        )
    return None


def refuse_unknown_hooks(module: ModuleType) -> None:
    """pluggy lets a misspelt hook pass; its author would wait for a call that never comes."""
    known = {*HOOK_OF_KIND.values(), COMMANDS_HOOK}
    for name, value in vars(module).items():
        if getattr(value, "tgdpo_impl", None) and name not in known:
            raise PluginError(
                f"it implements an unknown hook '{name}'. {did_you_mean(name, known)}"
            )


def implementations(hooks: pluggy.PluginManager, hook: str, module: ModuleType) -> list[Any]:
    """Return the module's own implementations of a hook, so that one plugin is called alone."""
    return [impl for impl in getattr(hooks.hook, hook).get_hookimpls() if impl.plugin is module]


def called(hook: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a plugin's implementation of a hook.

    Args:
        hook: its name.
        function: the implementation.
        arguments: in the order in which it wants them.

    Raises:
        PluginError: it is ``async`` or has a ``yield``, so that nothing of it has run.
    """
    result = function(*arguments)
    is_awaitable = inspect.isawaitable(result) or inspect.isasyncgen(result)
    if not is_awaitable and not inspect.isgenerator(result):
        return
    if inspect.iscoroutine(result):
        result.close()  # Python would warn that nobody has awaited it
    what = "is async" if is_awaitable else "has a yield"
    raise PluginError(
        f"its hook '{hook}' {what}, so that calling it registers nothing. Make it a plain function."
    )


def require_base(kind: str, name: str, factory: Any) -> None:
    """Raise ``PluginError`` for a factory that is no class of its kind."""
    base = _BASE_OF_KIND[kind]
    if not (isinstance(factory, type) and issubclass(factory, base)):
        found = getattr(factory, "__name__", type(factory).__name__)
        raise PluginError(f"{kind} '{name}': {found} is not a subclass of {base.__name__}.")


def as_class(factory: Any) -> type[TokenReward]:
    """Return a ``TokenReward`` class; a plain function of one ``Example`` is wrapped in one."""
    if isinstance(factory, type):
        return factory
    function: Callable[[Example], Any] = factory

    def score(self: TokenReward, batch: Sequence[Example]) -> list[Any]:
        return [function(example) for example in batch]

    body = {"__doc__": function.__doc__, "__module__": function.__module__, "score": score}
    wrapped = type(function.__name__, (TokenReward,), body)
    wrapped.__wrapped__ = function  # type: ignore[attr-defined] # inspect finds the author's file
    return wrapped
