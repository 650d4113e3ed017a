"""The names and types of ``transformers.TrainingArguments``, read without importing torch."""

import ast
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tgdpo_core.errors import did_you_mean

_SIMPLE = {"int": int, "float": float, "str": str, "bool": bool, "None": None, "list": list}
_SET_ELSEWHERE = {
    "output_dir": "the recipe's output_dir",
    "remove_unused_columns": "nothing (always off)",
    "label_names": "nothing (there are no labels)",
}
_SECRET = ("hub_token", "push_to_hub_token")


def check_training_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values converted to their types.

    Raises:
        ValueError: an unknown name, one that is set elsewhere, or a value of the wrong type.
    """
    return {name: _check(name, value) for name, value in values.items()}


def _check(name: str, value: Any) -> Any:
    annotations = training_argument_types()
    if name in _SET_ELSEWHERE:
        raise ValueError(f"'{name}' is decided by {_SET_ELSEWHERE[name]}, not here")
    if name in _SECRET:
        raise ValueError(f"'{name}' would end up in files: set HF_TOKEN in the environment")
    if name not in annotations:
        near = did_you_mean(name, annotations).partition("Available:")[0].strip()
        raise ValueError(
            f"unknown key '{name}'. {near} Allowed: the names of transformers.TrainingArguments"
        )
    if value is False and name.endswith("_strategy"):
        return "no"  # YAML reads a bare no as false
    annotation = _evaluate(annotations[name])
    if annotation is None:
        return value
    try:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False)).validate_python(
            value
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ValueError(
            f"'{name}': {reason} (got {value!r}, expected {annotations[name]})"
        ) from None


@functools.cache
def training_argument_types() -> dict[str, str]:
    """Return field name to annotation, read from the source of transformers."""
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        raise ImportError("transformers is not installed")
    source = (Path(package.origin).parent / "training_args.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            return {
                item.target.id: ast.unparse(item.annotation)
                for item in fields
                if isinstance(item.target, ast.Name) and not item.target.id.startswith("_")
            }
    raise ImportError("transformers.training_args has no class TrainingArguments")


def _evaluate(annotation: str) -> Any:
    """Return the type of an annotation made of built-in types, else None (left to transformers)."""
    parts = [part.strip() for part in annotation.split("|")]
    if any(part not in _SIMPLE for part in parts):
        return None
    types = [_SIMPLE[part] for part in parts]
    return functools.reduce(lambda a, b: a | b, types[1:], types[0]) if types[0] else None
