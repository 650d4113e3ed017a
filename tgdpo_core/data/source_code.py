"""Hashes of our own code: what other code has made is not read from the store."""

import functools
import hashlib
import importlib.metadata
from pathlib import Path

_LIBRARIES = ("tokenizers", "transformers", "jinja2")


@functools.cache
def code_hash(*rooms: str) -> str:
    """Return a hash of the source files of some rooms of the core."""
    core = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((core / room).rglob("*.py")):
            digest.update(str(path.relative_to(core)).encode() + path.read_bytes())
    return digest.hexdigest()[:24]


@functools.cache
def data_code() -> str:
    """Return a hash of the code that turns rows into token ids, libraries included."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return "; ".join([code_hash("data"), *versions])
