"""The page of all recipe keys, from the pydantic schema that reads recipes."""

import json
import types
import typing
from typing import Any

from annotated_types import BaseMetadata
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tgdpo_core.recipe.schema import Recipe

_INTRO = """# Recipe

Every key of a recipe (YAML), as the program reads it. Each can be given on the command line,
too: `--set section.key=value`. Unknown keys are errors with a suggestion. `tgdpo validate
--config FILE` checks a recipe without loading a model; `tgdpo recipes list` shows the
ready-made ones. Keys of a nested section are written with dots; those of an entry of a list
with `[]`.

"""
_OUTRO = """## `training`

Names and meanings of
[`transformers.TrainingArguments`](https://huggingface.co/docs/transformers/main_classes/trainer),
such as `learning_rate`, `num_train_epochs`, `per_device_train_batch_size` (pairs),
`gradient_accumulation_steps`, `lr_scheduler_type`, `seed`. Defaults that differ: see
[`TGDPOConfig`](python.md#tgdpo_core.training.config.TGDPOConfig). A setting that training would
never read is refused with the reason.
"""


def recipe_page() -> str:
    """Return the page: one table a section; key, type with its limits, default and description."""
    parts = [_INTRO]
    top = []
    for name, field in Recipe.model_fields.items():
        section = _model_of(field.annotation)
        if section is None:
            if name != "training":
                top.append(_row(name, field))
            continue
        prefix = f"{name}[]" if _is_list(field.annotation) else name
        text = (section.__doc__ or "").strip()
        parts += [f"## `{name}`\n\n{text}\n\n", _table(list(_rows(section, prefix)))]
    parts += ["## Top level\n\n", _table(top), _OUTRO]
    return "".join(parts)


def recipe_keys() -> list[str]:
    """Return every key with its section, as the tables name them."""
    keys = []
    for name, field in Recipe.model_fields.items():
        section = _model_of(field.annotation)
        prefix = f"{name}[]" if _is_list(field.annotation) else name
        keys += [name] if section is None else [row[0] for row in _rows(section, prefix)]
    return keys


def _rows(section: type[BaseModel], prefix: str) -> typing.Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}.{name}"
        inner = _model_of(field.annotation)
        if inner is None or inner is section:
            yield _row(key, field)
        else:
            yield _row(key, field, is_section=True)
            yield from _rows(inner, f"{key}[]" if _is_list(field.annotation) else key)


def _row(key: str, field: FieldInfo, *, is_section: bool = False) -> tuple[str, ...]:
    shown = "section" if is_section else _type_name(field.annotation)
    if is_section and _is_list(field.annotation):
        shown = "list of sections"
    shown = ", ".join(filter(None, (shown, _limits(field))))
    return (key, shown, _default(field), field.description or "")


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ["| key | type | default | what |", "|---|---|---|---|"]
    for key, shown, default, text in rows:
        cells = (f"`{key}`", shown, f"`{default}`" if default else "required", text)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n"


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in arguments)
    if origin is not None:
        inner = ", ".join(_type_name(part) for part in arguments)
        return f"{origin.__name__}[{inner}]" if inner else str(origin.__name__)
    return {type(None): "null", Any: "any"}.get(annotation) or str(annotation.__name__)


def _default(field: FieldInfo) -> str:
    """Return the default as YAML would have it; empty where there is none."""
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        return "{}"
    return json.dumps(value)


def _limits(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >="}
    metadata = list(field.metadata)
    found = [
        f"{sign} {getattr(limit, name)}"
        for limit in metadata
        if isinstance(limit, BaseMetadata)
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join(dict.fromkeys(found))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, alone, optional or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_of(part) for part in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list
