"""The names and types of ``transformers.TrainingArguments``, read without importing torch."""

import ast
import functools
import importlib.util
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tgdpo_core.errors import did_you_mean
from tgdpo_core.recipe.argument_table import (
    BOUNDS,
    ENUMS,
    REFUSED,
    REFUSED_OPTIMIZERS,
    SECRET,
    SET_ELSEWHERE,
    USED,
)
from tgdpo_core.recipe.truth_values import is_truth_for_number

_SIMPLE = {"int": int, "float": float, "str": str, "bool": bool, "None": None, "list": list}


class ArgumentProblems(ValueError):
    """Everything that is wrong with some settings.

    Attributes:
        lines: one sentence a problem.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = list(lines)


def check_training_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a recipe converted to their types.

    Raises:
        ArgumentProblems: unknown names, names that are set elsewhere or have no effect, values of
            a wrong type or outside their range, values that contradict each other; all of them at
            once.
    """
    problems: list[str] = []
    checked: dict[str, Any] = {}
    for name, value in values.items():
        try:
            checked[name] = _check(name, value)
        except ValueError as error:
            problems.append(str(error))
    problems += _contradictions({**values, **checked})
    if problems:
        raise ArgumentProblems(problems)
    return checked


def check_settings_have_effect(values: Mapping[str, Any]) -> None:
    """Refuse settings that the training step never reads, and numbers and names without meaning.

    Args:
        values: any fields of ``TrainingArguments`` with their values, defaults included.

    Raises:
        ValueError: the first of them.
    """
    for name, value in values.items():
        _refuse(name, value)
        _require_in_range(name, value)
    for problem in _contradictions(values):
        raise ValueError(problem)


def _check(name: str, value: Any) -> Any:
    if name in SET_ELSEWHERE:
        raise ValueError(f"'{name}' is decided by {SET_ELSEWHERE[name]}, not here")
    if name in SECRET:
        raise ValueError(f"'{name}' would end up in files: set HF_TOKEN in the environment")
    annotations = training_argument_types()
    if name not in annotations:
        near = did_you_mean(name, annotations).partition("Available:")[0]
        raise ValueError(
            f"unknown key '{name}'. {near}Allowed: the names of transformers.TrainingArguments"
        )
    if name not in USED and name not in REFUSED:
        raise ValueError(
            f"'{name}' is newer than this tgdpo, which cannot say whether training reads it"
        )
    if value is False and name.endswith("_strategy"):
        value = "no"  # YAML reads a bare no as false
    value = _converted(name, value, annotations[name])
    _require_in_range(name, value)
    _refuse(name, value)
    return value


def _converted(name: str, value: Any, annotation: str) -> Any:
    type_ = _evaluate(annotation)
    if type_ is None:
        return value
    if is_truth_for_number(value, type_):
        raise ValueError(f"'{name}': expected a number, got {str(value).lower()}")
    try:
        return TypeAdapter(type_, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        shown = reprlib.repr(value)  # a value may be a gigabyte of aliases
        raise ValueError(f"'{name}': {reason} (got {shown}, expected {annotation})") from None


def _refuse(name: str, value: Any) -> None:
    """Raise ``ValueError`` for a value that would change nothing."""
    refused = REFUSED.get(name)
    if refused and _plain(value) not in refused.harmless:
        raise ValueError(f"'{name}' has no effect here: {refused.reason}")


def _require_in_range(name: str, value: Any) -> None:
    """Raise ``ValueError`` for a number or a name that means nothing."""
    bounds = BOUNDS.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if bounds and is_number and not bounds.holds(value):
        raise ValueError(f"'{name}' must be {bounds}, got {value!r}")
    if name == "max_steps" and is_number and value != -1 and value < 1:
        raise ValueError(f"'max_steps' must be at least 1, or -1 to count epochs; got {value!r}")
    if name in ENUMS and value is not None:
        _require_name(name, _plain(value))


def _require_name(name: str, value: Any) -> None:
    allowed = enum_values(*ENUMS[name])
    if allowed and value not in allowed:
        raise ValueError(f"'{name}': unknown value {value!r}. {did_you_mean(str(value), allowed)}")
    if name == "optim" and value in REFUSED_OPTIMIZERS:
        raise ValueError(f"'optim={value}' does not work here: {REFUSED_OPTIMIZERS[value]}")


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the settings say against each other: one of the two would have no effect."""
    get = {name: _plain(value) for name, value in values.items()}.get
    if get("lr_scheduler_type") == "constant" and get("warmup_steps"):
        yield (
            "'lr_scheduler_type=constant' knows no 'warmup_steps': use constant_with_warmup, or "
            "leave warmup_steps out"
        )
    if get("optim_target_modules") and not str(get("optim")).startswith(("galore", "apollo")):
        yield "'optim_target_modules' is read by the optimizers galore_... and apollo_... only"
    if get("liger_kernel_config") and not get("use_liger_kernel"):
        yield "'liger_kernel_config' has no effect without use_liger_kernel"
    if get("do_eval") and get("eval_strategy", "no") == "no":
        yield "'do_eval' has no effect: set eval_strategy to steps or epoch"
    if get("fp16") and get("bf16"):
        yield "'fp16' and 'bf16' exclude each other"


def _plain(value: Any) -> Any:
    """Return the name of an enumeration's member, any other value as it is."""
    return getattr(value, "value", value)


@functools.cache
def training_argument_types() -> dict[str, str]:
    """Return field name to annotation, read from the source of transformers."""
    return {name: ast.unparse(item.annotation) for name, item in _fields().items()}


@functools.cache
def training_argument_help() -> dict[str, str]:
    """Return field name to the text that transformers has of it, empty where it has none."""
    texts = {}
    for name, item in _fields().items():
        pairs = [p for node in ast.walk(item) if isinstance(node, ast.Dict) for p in _items(node)]
        texts[name] = next((text for key, text in pairs if key == "help"), "")
    return texts


def _items(node: ast.Dict) -> Iterator[tuple[str, str]]:
    for key, value in zip(node.keys, node.values, strict=True):
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if isinstance(key, ast.Constant) and is_text:
            yield str(key.value), str(value.value)  # type: ignore[attr-defined] # a constant


@functools.cache
def _fields() -> dict[str, ast.AnnAssign]:
    for node in _source("training_args").body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            return {
                item.target.id: item
                for item in fields
                if isinstance(item.target, ast.Name) and not item.target.id.startswith("_")
            }
    raise ImportError("transformers.training_args has no class TrainingArguments")


@functools.cache
def enum_values(module: str, name: str) -> tuple[str, ...]:
    """Return the values of an enumeration of transformers; none where it stands elsewhere."""
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return tuple(
                str(item.value.value)
                for item in node.body
                if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
            )
    return ()


@functools.cache
def _source(module: str) -> ast.Module:
    package = importlib.util.find_spec("transformers")
    if package is None or package.origin is None:
        raise ImportError("transformers is not installed")
    path = Path(package.origin).parent / f"{module}.py"
    return ast.parse(path.read_text(encoding="utf-8"))


def _evaluate(annotation: str) -> Any:
    """Return the type of an annotation made of built-in types, else None (left to transformers)."""
    parts = [part.strip() for part in annotation.split("|")]
    if any(part not in _SIMPLE for part in parts):
        return None
    types = [_SIMPLE[part] for part in parts]
    return functools.reduce(lambda a, b: a | b, types[1:], types[0]) if types[0] else None
