"""The JSON Schema of a recipe, for editors and other programs."""

from typing import Any

from tgdpo_core.recipe.argument_table import BOUNDS, ENUMS, REFUSED_OPTIMIZERS, USED
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.recipe.training_arguments import (
    enum_values,
    training_argument_help,
    training_argument_types,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "None": "null",
    "dict": "object",
    "list": "array",
}


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a recipe.

    It says what keys there are, their types, limits and what they are for; names of plugins and
    their options are left to ``tgdpo validate``. Training arguments are those of the installed
    transformers that a run reads.
    """
    schema = Recipe.model_json_schema()
    schema["$schema"] = _DIALECT
    schema["title"] = "Recipe of tgdpo"
    properties = schema["properties"]
    properties["training"] = {
        "type": "object",
        "description": "settings of transformers.TrainingArguments",
        "additionalProperties": False,
        "properties": _training(),
    }
    for name in ("path", "eval_path"):
        _allow_list(schema["$defs"]["DataSection"]["properties"][name])
    return schema


def _allow_list(field: dict[str, Any]) -> None:
    """Let a path be a list of paths, which the section joins."""
    single = field.pop("anyOf", None) or [{"type": field.pop("type")}]
    field["anyOf"] = [*single, {"type": "array", "items": {"type": "string"}, "minItems": 1}]


def _training() -> dict[str, Any]:
    texts = training_argument_help()
    return {
        name: {**_type_of(name, annotation), "description": texts[name]}
        for name, annotation in training_argument_types().items()
        if name in USED
    }


def _type_of(name: str, annotation: str) -> dict[str, Any]:
    if name in ENUMS and (values := enum_values(*ENUMS[name])):
        allowed: list[Any] = [value for value in values if value not in REFUSED_OPTIMIZERS]
        # YAML reads a bare no as false.
        return {"enum": [*allowed, *([False] if name.endswith("_strategy") else [])]}
    parts = [part.strip().partition("[")[0] for part in annotation.split("|")]
    if not all(part in _TYPES for part in parts):
        return {}  # left to transformers
    found: dict[str, Any] = {"type": [_TYPES[part] for part in parts]}
    if len(parts) == 1:
        found["type"] = _TYPES[parts[0]]
    if name in BOUNDS:
        bounds = BOUNDS[name]
        found["exclusiveMinimum" if bounds.above else "minimum"] = bounds.low
        if bounds.high is not None:
            found["exclusiveMaximum" if bounds.below else "maximum"] = bounds.high
    return found
