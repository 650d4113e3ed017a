"""Finds, loads and names plugins.

Each entry point of the group ``tgdpo`` is loaded on its own: one that fails is kept as a record
and named again when somebody asks for what it would have brought, and stops nothing else.
``TGDPO_LOAD_PLUGINS`` (unset: all; empty: built-ins only; else a comma list of distributions)
and ``TGDPO_STRICT_PLUGINS=1`` (a broken plugin is an error) are read when a manager is made.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from tgdpo_core.errors import PluginError, did_you_mean
from tgdpo_core.plugin_api import hookspecs
from tgdpo_core.plugin_api.datasets import NamedDataset
from tgdpo_core.plugin_api.judges import Judge
from tgdpo_core.plugin_api.options import Options, build
from tgdpo_core.plugin_api.rewards import Example, TokenReward
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.plugin_api.transforms import Transform

logger = logging.getLogger(__name__)

GROUP = "tgdpo"
BUILT_IN = "tgdpo"  # the distribution whose names nobody may shadow

HOOK_OF_KIND = {
    "token-reward": "register_token_rewards",
    "transform": "register_transforms",
    "shaping": "register_shapings",
    "dataset": "register_datasets",
    "judge": "register_judges",
}
_BASE_OF_KIND: dict[str, type] = {
    "token-reward": TokenReward,
    "transform": Transform,
    "shaping": Shaping,
    "dataset": NamedDataset,
    "judge": Judge,
}
_COMMANDS_HOOK = "register_commands"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True)
class Registered:
    """One thing that a plugin brought: its kind, its name, and where it comes from."""

    kind: str
    name: str
    factory: Any
    distribution: str
    version: str
    module: str

    @property
    def summary(self) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").strip().partition("\n")[0]

    @property
    def origin(self) -> str:
        """Distribution and version, or the file of ``--plugin-file``."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        """How messages name it."""
        return f"{self.kind} '{self.name}' ({self.origin})"

    @property
    def source_hash(self) -> str:
        """Hash of the source file: it moves where the version does not (editable installs)."""
        path = inspect.getsourcefile(inspect.unwrap(self.factory))
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""

    def create(self, values: Mapping[str, Any] | None = None) -> Any:
        """Return an instance built from option values; ``PluginError`` where one does not fit."""
        if isinstance(self.factory, type) and issubclass(self.factory, Options):
            return build(self.factory, values or {}, who=str(self))
        if values:
            raise PluginError(f"{self} takes no options; got {', '.join(values)}.")
        return self.factory()


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    key: str
    distribution: str
    version: str
    error: Exception

    def __str__(self) -> str:
        """One line for lists and messages."""
        where = f"{self.key} {self.version}".strip()
        return f"{where} could not be loaded: {type(self.error).__name__}: {self.error}"


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
        self._command_hooks: list[tuple[str, Callable[..., None], tuple[str, ...]]] = []
        self.broken: list[Broken] = []
        for key, entry in _entry_points(_allowed_distributions(env)):
            version = entry.dist.version if entry.dist else ""
            self._load(key, key.partition(":")[0], version, entry.load)
        for file in files:
            path = Path(file).resolve()
            self._load(str(path), str(path), "", functools.partial(_import_file, path))

    # -- asking ---------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> Registered:
        """Return what is registered under a name.

        Args:
            kind: ``token-reward``, ``transform``, ``shaping``, ``dataset`` or ``judge``.
            name: the bare name, or ``DISTRIBUTION:NAME`` where two distributions use one name.

        Raises:
            PluginError: unknown or ambiguous; the message suggests names and lists broken plugins.
        """
        found = self._matching(kind, name)
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

    def _matching(self, kind: str, name: str) -> list[Registered]:
        distribution, _, bare = name.rpartition(":")
        return [
            item
            for item in self._items.get((kind, bare), [])
            if not distribution or item.distribution == _normalised(distribution)
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

    def add_commands(self, cli: Any) -> None:
        """Let the plugins add their commands to a click group."""
        for key, function, wanted in self._command_hooks:
            try:
                function(*({"cli": cli}[name] for name in wanted))
            except Exception as error:
                raise PluginError(f"Plugin {key} failed to add its commands: {error}") from error

    # -- loading --------------------------------------------------------------------------------

    def _load(
        self, key: str, distribution: str, version: str, load: Callable[[], ModuleType]
    ) -> None:
        """Load one plugin; commit what it registers only if all of its hooks succeed."""
        try:
            module = load()
            _require_api(module)
            self._hooks.register(module, key)
            _refuse_unknown_hooks(module)
            items = self._collect(module, distribution, version)
            for item in items:
                self._refuse_taken(item)
        except Exception as error:
            if self._hooks.has_plugin(key):
                self._hooks.unregister(name=key)
            if self._strict:
                raise PluginError(f"Plugin {key} could not be loaded: {error}") from error
            self.broken.append(Broken(key, distribution, version, error))
            logger.warning("%s", self.broken[-1])
            return
        for item in items:
            self._items.setdefault((item.kind, item.name), []).append(item)
        for impl in _implementations(self._hooks, _COMMANDS_HOOK, module):
            self._command_hooks.append((key, impl.function, impl.argnames))

    def _collect(self, module: ModuleType, distribution: str, version: str) -> list[Registered]:
        items: list[Registered] = []
        for kind, hook in HOOK_OF_KIND.items():

            def register(name: str, factory: Any, kind: str = kind) -> None:
                factory = _as_class(factory) if kind == "token-reward" else factory
                _require_base(kind, name, factory)
                if not _NAME.fullmatch(name):
                    raise PluginError(f"{kind} name {name!r}: use a-z, 0-9 and '-'.")
                items.append(
                    Registered(kind, name, factory, distribution, version, module.__name__)
                )

            for impl in _implementations(self._hooks, hook, module):
                impl.function(*({"register": register}[name] for name in impl.argnames))
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


def _entry_points(
    allowed: set[str] | None,
) -> list[tuple[str, importlib.metadata.EntryPoint]]:
    """Return ``distribution:name`` and entry point, built-ins first, then sorted, each once."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = _normalised(entry.dist.name) if entry.dist else ""
        if distribution == BUILT_IN or allowed is None or distribution in allowed:
            found.setdefault(f"{distribution}:{entry.name}", entry)
    return sorted(found.items(), key=lambda pair: (not pair[0].startswith(f"{BUILT_IN}:"), pair[0]))


def _allowed_distributions(env: Mapping[str, str]) -> set[str] | None:
    listed = env.get("TGDPO_LOAD_PLUGINS")
    if listed is None:
        return None
    return {_normalised(name) for name in listed.split(",") if name.strip()}


def _normalised(distribution: str) -> str:
    """Return the PEP 503 form of a distribution's name (a path stays as it is)."""
    if os.sep in distribution:
        return distribution
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _import_file(path: Path) -> ModuleType:
    name = f"tgdpo_plugin_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _require_api(module: ModuleType) -> None:
    wanted = getattr(module, "TGDPO_API", hookspecs.API_VERSION)
    if wanted != hookspecs.API_VERSION:
        raise PluginError(
            f"it needs plugin API {wanted}; this tgdpo has API {hookspecs.API_VERSION}. "
            "Install matching versions of both."
        )


def _refuse_unknown_hooks(module: ModuleType) -> None:
    """pluggy lets a misspelt hook pass; its author would wait for a call that never comes."""
    known = {*HOOK_OF_KIND.values(), _COMMANDS_HOOK}
    for name, value in vars(module).items():
        if getattr(value, "tgdpo_impl", None) and name not in known:
            raise PluginError(
                f"it implements an unknown hook '{name}'. {did_you_mean(name, known)}"
            )


def _implementations(hooks: pluggy.PluginManager, hook: str, module: ModuleType) -> list[Any]:
    """Return the module's own implementations of a hook, so that one plugin is called alone."""
    return [impl for impl in getattr(hooks.hook, hook).get_hookimpls() if impl.plugin is module]


def _require_base(kind: str, name: str, factory: Any) -> None:
    base = _BASE_OF_KIND[kind]
    if not (isinstance(factory, type) and issubclass(factory, base)):
        found = getattr(factory, "__name__", type(factory).__name__)
        raise PluginError(f"{kind} '{name}': {found} is not a subclass of {base.__name__}.")


def _as_class(factory: Any) -> type[TokenReward]:
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
