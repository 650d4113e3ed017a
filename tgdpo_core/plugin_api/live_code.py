"""What names the code of a class that lies in no file: one of a notebook or an interactive session.

Its compiled functions are hashed, with the functions, classes and plain values of the session that
they name. Without it, values stored for a class would be taken for those of its next edition.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any


def live_code(factory: Any) -> str:
    """Return a hash of a class or function as it is in memory."""
    found: dict[int, list[str]] = {}
    _visit(inspect.unwrap(factory), found)
    text = "\n".join(part for parts in found.values() for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _visit(thing: Any, found: dict[int, list[str]]) -> None:
    """Add the parts of a class or function, then those of what it names."""
    if id(thing) in found:
        return
    parts = found[id(thing)] = [f"{type(thing).__name__} {thing.__qualname__}"]
    if isinstance(thing, FunctionType):
        parts += [*_code(thing.__code__), repr(thing.__defaults__), repr(thing.__kwdefaults__)]
        for name in sorted(set(_names(thing.__code__))):
            _add(name, thing.__globals__.get(name), parts, found)
        return
    for name, member in sorted(vars(thing).items()):
        if not name.startswith("__") or isinstance(member, FunctionType):
            _add(name, member, parts, found)
    for base in thing.__mro__[1:]:
        _add(base.__name__, base, parts, found)


def _add(name: str, value: Any, parts: list[str], found: dict[int, list[str]]) -> None:
    """Add a member or a global: code of the same session, or a plain value."""
    value = getattr(value, "__func__", getattr(value, "fget", value))
    if isinstance(value, type | FunctionType):
        if value.__module__ == "__main__":
            _visit(value, found)
    elif (plain := _plain(value)) is not None:
        parts.append(f"{name} = {plain}")


def _plain(value: Any) -> str | None:
    """Return a value as text, if it is one that text says all of."""
    if isinstance(value, set | frozenset):
        value = sorted(map(repr, value))
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return None


def _code(code: CodeType) -> Iterator[str]:
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
