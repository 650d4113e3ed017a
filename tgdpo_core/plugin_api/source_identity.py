"""What of a plugin's code decides the values that are stored under its name.

A released version is its version. Code that can change while the version stays (an editable or
local install, a file) is the hash of every file of its distribution that the plugin imports, found
without running it; comments and blank lines do not count.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import inspect
import io
import os
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tgdpo_core.plugin_api.live_code import live_code

_OWN = ("tgdpo_core", "tgdpo_cli")
_BUILT_IN_PACKAGE = "tgdpo_plugins"


def source_of(factory: Any, distribution: str) -> str | dict[str, str]:
    """Return what names the code of a factory beside its version.

    Args:
        factory: the plugin's class or function.
        distribution: that brings it, or the path of a file.

    Returns:
        Empty for a released distribution; the hash of a single file, or of what a session holds in
        memory; or hashes by file, relative to the folder of the package.
    """
    if not Path(distribution).is_absolute() and is_released(distribution):
        return ""
    try:
        found = inspect.getsourcefile(inspect.unwrap(factory))
    except (OSError, TypeError):  # of a notebook or an interactive session
        found = None
    if not found or not Path(found).is_file():
        return live_code(factory)
    start = Path(found).resolve()
    root = _root(start)
    files = sorted(_closure(start, root))
    if files == [start]:
        return code_hash(start)
    return {str(path.relative_to(root)): code_hash(path) for path in files}


def is_released(distribution: str) -> bool:
    """Return whether a distribution was installed from an index: its code is that of its version.

    One that was installed from a folder, a repository or a file, or put there by hand, may change
    without another version.
    """
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return found.read_text("INSTALLER") is not None and found.read_text("direct_url.json") is None


def code_hash(path: Path) -> str:
    """Return a hash of a Python file without its comments and blank lines."""
    return _hash_of(path.read_bytes())


# The cells of an ablation ask for the same files many times. What is kept is kept by content: a
# file that changed is read anew.
@functools.lru_cache(maxsize=1024)
def _hash_of(data: bytes) -> str:
    with contextlib.suppress(SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        data = _without_comments(data).encode("utf-8")
    return hashlib.sha256(data).hexdigest()[:16]


def _without_comments(data: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    lines = io.StringIO(data.decode(encoding), newline=None).read().split("\n")
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _root(start: Path) -> Path:
    """Return the folder that the file's outermost package lies in."""
    root = start.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def _closure(start: Path, root: Path) -> set[Path]:
    """Return the file, what it imports of the same folder, and the packages around these."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        imported = _imported(path.read_bytes(), path.parent.relative_to(root).parts)
        names = {name for name in imported if not name.startswith(_OWN)}
        waiting += [file for name in names for file in _files(name, root)]
    return found


@functools.lru_cache(maxsize=1024)
def _imported(data: bytes, package: tuple[str, ...]) -> tuple[str, ...]:
    """Return the dotted names that a file may import, those inside of functions included."""
    try:
        tree = ast.parse(data)
    except SyntaxError:
        return ()
    return tuple(name for node in ast.walk(tree) for name in _names(node, package))


def _names(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join([*base, *([node.module] if node.module else [])])
        yield from (f"{module}.{alias.name}".strip(".") for alias in node.names)


def _files(name: str, root: Path) -> Iterator[Path]:
    """Yield the files under a folder that importing a dotted name runs."""
    place = str(root)
    for part in name.split("."):
        place = os.path.join(place, part)
        for file in (os.path.join(place, "__init__.py"), f"{place}.py"):
            # The built-in package brings many kinds: only what a plugin names of it counts.
            if os.path.isfile(file) and not _is_registry(Path(file)):
                yield Path(file).resolve()
        if not os.path.isdir(place):
            return  # nothing lies below it: most names are of other distributions


def _is_registry(file: Path) -> bool:
    return file.name == "__init__.py" and _BUILT_IN_PACKAGE in file.parts
