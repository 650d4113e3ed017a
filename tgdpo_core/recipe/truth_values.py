"""``true`` is no number: where one is expected, 1.0 would be a guess."""

import types
import typing
from typing import Any


def is_truth_for_number(value: Any, annotation: Any) -> bool:
    """Return whether a value is true or false and its type is a number's.

    Args:
        value: as it was read.
        annotation: a type, or a union of types.
    """
    if not isinstance(value, bool):
        return False
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: Any) -> set[Any]:
    """Return the plain types of a union, and of what is annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _kinds(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return {kind for part in typing.get_args(annotation) for kind in _kinds(part)}
    return {annotation} if isinstance(annotation, type) else set()
