"""Where plugins lie: entry points of installed distributions, and Python files."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from tgdpo_core.errors import PluginError

GROUP = "tgdpo"
BUILT_IN = "tgdpo"  # the distribution whose names nobody may shadow


def entry_points(
    allowed: set[str] | None,
) -> list[tuple[str, importlib.metadata.EntryPoint]]:
    """Return ``distribution:name`` and entry point, built-ins first, then sorted, each once."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = normalised(entry.dist.name) if entry.dist else ""
        if distribution == BUILT_IN or allowed is None or distribution in allowed:
            found.setdefault(f"{distribution}:{entry.name}", entry)
    return sorted(found.items(), key=lambda pair: (not pair[0].startswith(f"{BUILT_IN}:"), pair[0]))


def allowed_distributions(env: Mapping[str, str]) -> set[str] | None:
    """Return the distributions that ``TGDPO_LOAD_PLUGINS`` names; None: all of them."""
    listed = env.get("TGDPO_LOAD_PLUGINS")
    if listed is None:
        return None
    return {normalised(name) for name in listed.split(",") if name.strip()}


def normalised(distribution: str) -> str:
    """Return the PEP 503 form of a distribution's name (a path stays as it is)."""
    if os.sep in distribution:
        return distribution
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module; ``PluginError`` where it is none."""
    name = f"tgdpo_plugin_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
