"""Where plugins lie: entry points of installed distributions, and Python files."""

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from tgdpo_core.errors import PluginError, did_you_mean

logger = logging.getLogger(__name__)

GROUP = "tgdpo"
BUILT_IN = "tgdpo"  # the distribution whose names nobody may shadow


def entry_points(env: Mapping[str, str]) -> list[tuple[str, importlib.metadata.EntryPoint]]:
    """Return ``distribution:name`` and entry point, built-ins first, then sorted, each once.

    Left out is what ``TGDPO_LOAD_PLUGINS`` does not name or ``TGDPO_BLOCK_PLUGINS`` names; a name
    there that no plugin has is warned of.
    """
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = normalised(entry.dist.name) if entry.dist else ""
        found.setdefault(f"{distribution}:{entry.name}", entry)
    chosen = chosen_keys(list(found), env)
    by_origin = sorted(chosen, key=lambda key: (not key.startswith(f"{BUILT_IN}:"), key))
    return [(key, found[key]) for key in by_origin]


def chosen_keys(keys: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the keys (``distribution:name``) that the environment leaves."""
    allowed, blocked = _listed(env, "TGDPO_LOAD_PLUGINS"), _listed(env, "TGDPO_BLOCK_PLUGINS")
    names = {name for key in keys for name in (key, key.partition(":")[0])}
    for variable, listed in (("TGDPO_LOAD_PLUGINS", allowed), ("TGDPO_BLOCK_PLUGINS", blocked)):
        for name in sorted((listed or set()) - names):
            logger.warning(
                "%s: no plugin of '%s' is installed. %s", variable, name, _nearest(name, names)
            )
    return [
        key
        for key in keys
        if key.startswith(f"{BUILT_IN}:")
        or (
            (allowed is None or {key, key.partition(":")[0]} & allowed)
            and not {key, key.partition(":")[0]} & (blocked or set())
        )
    ]


def _nearest(name: str, names: Collection[str]) -> str:
    return did_you_mean(name, {each for each in names if ":" not in each} - {BUILT_IN})


def _listed(env: Mapping[str, str], variable: str) -> set[str] | None:
    """Return the distributions (or ``distribution:name``) that a variable names; None: unset."""
    listed = env.get(variable)
    if listed is None:
        return None
    parts = (name.strip().partition(":") for name in listed.split(",") if name.strip())
    return {f"{normalised(distribution)}{colon}{name}" for distribution, colon, name in parts}


def normalised(distribution: str) -> str:
    """Return the PEP 503 form of a distribution's name (a path stays as it is)."""
    if os.sep in distribution:
        return distribution
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def module_name(path: Path) -> str:
    """Return the name that a file is imported under."""
    return f"tgdpo_plugin_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module; ``PluginError`` where it is none."""
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
