"""Finds, loads and names plugins.

Each entry point of the group ``tgdpo`` is loaded on its own: one that fails is kept as a record
and named again when somebody asks for what it would have brought, and stops nothing else.
``TGDPO_LOAD_PLUGINS`` (unset: all; empty: built-ins only; else a comma list of distributions),
``TGDPO_BLOCK_PLUGINS`` (a comma list of distributions that are left out) and
``TGDPO_STRICT_PLUGINS=1`` (a broken plugin is an error) are read when a manager is made.
"""

import functools
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from tgdpo_core.errors import PluginError, did_you_mean
from tgdpo_core.plugin_api import hookspecs
from tgdpo_core.plugin_api.discovery import (
    BUILT_IN,
    entry_points,
    import_file,
    module_name,
    normalised,
)
from tgdpo_core.plugin_api.error_text import text_of
from tgdpo_core.plugin_api.hook_rules import (
    COMMANDS_HOOK,
    HOOK_OF_KIND,
    NAME,
    as_class,
    called,
    implementations,
    refuse_unknown_hooks,
    require_api,
    require_base,
)
from tgdpo_core.plugin_api.loading import Trace, guarded, warn_of
from tgdpo_core.plugin_api.plugin_commands import PluginCommand, commands_of
from tgdpo_core.plugin_api.registered import Broken, Registered

logger = logging.getLogger(__name__)


class _CommandHook(NamedTuple):
    """A plugin that adds commands; asked when somebody wants them."""

    trace: Trace
    distribution: str
    function: Callable[..., None]
    wanted: tuple[str, ...]


def _added(hook: _CommandHook, group: Any, taken: Collection[str]) -> list[PluginCommand]:
    """Return the commands that a plugin adds to its group."""
    called(COMMANDS_HOOK, hook.function, *({"cli": group}[name] for name in hook.wanted))
    return commands_of(group, hook.trace, hook.distribution, taken)


class PluginManager:
    """What is installed, by kind and name.

    Args:
        files: Python files to load as plugins beside the installed ones.
        env: the environment to read settings from (default: the process's).
    """

    def __init__(
        self, files: Sequence[str | Path] = (), env: Mapping[str, str] | None = None
    ) -> None:
        env = os.environ if env is None else env
        self._strict = env.get("TGDPO_STRICT_PLUGINS") == "1"
        self._hooks = pluggy.PluginManager("tgdpo")
        self._hooks.add_hookspecs(hookspecs)
        self._items: dict[tuple[str, str], list[Registered]] = {}
        self._command_hooks: list[_CommandHook] = []
        self.broken: list[Broken] = []
        self.traces: list[Trace] = []
        for key, entry in entry_points(env):
            version = entry.dist.version if entry.dist else ""
            trace = Trace(key, version, entry.module.partition(".")[0])
            self._load(trace, key.partition(":")[0], entry.load)
        for file in files:
            path = Path(file).resolve()
            trace = Trace(str(path), "", module_name(path))
            self._load(trace, str(path), functools.partial(import_file, path))

    # -- asking ---------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> Registered:
        """Return what is registered under a name.

        Args:
            kind: ``token-reward``, ``transform``, ``shaping``, ``loss``, ``dataset`` or ``judge``.
            name: the bare name, or ``DISTRIBUTION:NAME`` where two distributions use one name.

        Raises:
            PluginError: unknown or ambiguous; the message suggests names and lists broken plugins.
        """
        found = self._matching(kind, name)
        self._refuse_patched()
        if len(found) == 1:
            return found[0]
        if found:
            bare = found[0].name
            options = " or ".join(f"{item.distribution}:{bare}" for item in found)
            raise PluginError(
                f"The {kind} '{name}' is registered by {' and by '.join(i.origin for i in found)}. "
                f"Say which one: {options}."
            )
        lines = [f"Unknown {kind} '{name}'. {did_you_mean(name, self.names(kind))}"]
        lines += [f"  Not available: {broken}" for broken in self.broken]
        raise PluginError("\n".join([*lines, "  See: tgdpo plugins list"]))

    def _refuse_patched(self) -> None:
        """Raise ``PluginError`` where a plugin has spoilt what every number goes through."""
        for trace in self.traces:
            if trace.stays:
                raise PluginError(
                    f"Plugin {trace.key} {trace.version} left {', '.join(trace.stays)} in this "
                    "process, and that cannot be undone: no number could be trusted. Leave it out: "
                    f"tgdpo -p no:{trace.key.partition(':')[0]} ..., or uninstall it."
                )

    def _matching(self, kind: str, name: str) -> list[Registered]:
        distribution, _, bare = name.rpartition(":")
        return [
            item
            for item in self._items.get((kind, bare), [])
            if not distribution or item.distribution == normalised(distribution)
        ]

    def names(self, kind: str) -> list[str]:
        """Return the registered names of a kind, sorted."""
        return sorted(name for k, name in self._items if k == kind)

    def has(self, kind: str, name: str) -> bool:
        """Return whether something is registered under ``NAME`` or ``DISTRIBUTION:NAME``."""
        return bool(self._matching(kind, name))

    def __iter__(self) -> Iterator[Registered]:
        """Iterate over everything registered, sorted by kind and name."""
        for _, items in sorted(self._items.items()):
            yield from items

    def commands(self, new_group: Callable[[], Any], taken: Collection[str]) -> list[PluginCommand]:
        """Return the commands that plugins add; one that fails to add its own is a broken plugin.

        Args:
            new_group: makes an empty click group, one for each plugin.
            taken: names of built-in commands, which nobody may use.
        """
        found: list[PluginCommand] = []
        for hook in self._command_hooks:
            add = functools.partial(_added, hook, new_group(), taken)
            try:
                found += guarded(hook.trace, "its commands", add)
            except KeyboardInterrupt:  # the user's: a plugin's own is a PluginError
                raise
            except BaseException as error:  # noqa: BLE001 - the plugin door
                self._note_broken(hook.trace, hook.distribution, error)
        return found

    # -- loading --------------------------------------------------------------------------------

    def _load(self, trace: Trace, distribution: str, load: Callable[[], ModuleType]) -> None:
        """Load one plugin; commit what it registers only if all of its hooks succeed."""
        key = trace.key
        self.traces.append(trace)
        try:
            module, items = self._loaded(trace, distribution, load)
        except KeyboardInterrupt:  # the user's: a plugin's own is a PluginError
            raise
        except BaseException as error:
            if self._hooks.has_plugin(key):
                self._hooks.unregister(name=key)
            if self._strict:
                raise PluginError(f"Plugin {key} could not be loaded: {text_of(error)}") from error
            self._note_broken(trace, distribution, error)
            return
        warn_of(trace)
        for item in items:
            self._items.setdefault((item.kind, item.name), []).append(item)
        hooks = (*HOOK_OF_KIND.values(), COMMANDS_HOOK)
        trace.hooks = tuple(h for h in hooks if implementations(self._hooks, h, module))
        for impl in implementations(self._hooks, COMMANDS_HOOK, module):
            hook = _CommandHook(trace, distribution, impl.function, impl.argnames)
            self._command_hooks.append(hook)

    def _loaded(
        self, trace: Trace, distribution: str, load: Callable[[], Any]
    ) -> tuple[ModuleType, list[Registered]]:
        """Return a plugin's module and what it registers; nothing is committed yet."""
        module = guarded(trace, "its import", load)
        if not isinstance(module, ModuleType):
            raise PluginError(f"its entry point names {module!r}, which is no module.")
        trace.ending = require_api(module) or ""
        self._hooks.register(module, trace.key)
        refuse_unknown_hooks(module)
        items = guarded(
            trace, "its hooks", lambda: self._collect(module, distribution, trace.version)
        )
        for number, item in enumerate(items):
            self._refuse_taken(item)
            if any((item.kind, item.name) == (o.kind, o.name) for o in items[:number]):
                raise PluginError(f"it registers the {item.kind} '{item.name}' twice.")
        return module, items

    def _note_broken(self, trace: Trace, distribution: str, error: BaseException) -> None:
        self.broken.append(Broken(trace.key, distribution, trace.version, error))
        logger.warning("%s", self.broken[-1])

    def _collect(self, module: ModuleType, distribution: str, version: str) -> list[Registered]:
        items: list[Registered] = []
        for kind, hook in HOOK_OF_KIND.items():

            def register(name: str, factory: Any, kind: str = kind) -> None:
                if not isinstance(name, str) or not NAME.fullmatch(name):
                    raise PluginError(f"{kind} name {name!r}: use a-z, 0-9 and '-'.")
                factory = as_class(factory) if kind == "token-reward" else factory
                require_base(kind, name, factory)
                items.append(
                    Registered(kind, name, factory, distribution, version, module.__name__)
                )

            for impl in implementations(self._hooks, hook, module):
                called(hook, impl.function, *({"register": register}[n] for n in impl.argnames))
        return items

    def _refuse_taken(self, item: Registered) -> None:
        for other in self._items.get((item.kind, item.name), []):
            if BUILT_IN in (other.distribution, item.distribution) or (
                other.distribution == item.distribution
            ):
                raise PluginError(
                    f"{item.kind} '{item.name}' is already registered by {other.origin}; "
                    f"{item.origin} must use another name."
                )
