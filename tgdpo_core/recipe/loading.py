"""YAML and ``--set`` overrides to a checked recipe."""

import copy
import difflib
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tgdpo_core.environment_secrets import secret_in
from tgdpo_core.errors import RecipeError, did_you_mean
from tgdpo_core.recipe.foreign import what_it_is_instead
from tgdpo_core.recipe.hints import ALIASES, place_of
from tgdpo_core.recipe.schema import Recipe
from tgdpo_core.recipe.training_arguments import ArgumentProblems
from tgdpo_core.recipe.yaml_reading import MOST_CHARACTERS, read_yaml

Schema = TypeVar("Schema", bound=BaseModel)

_REQUIRED_AT = {"data.path": "--dataset", "output_dir": "--output-dir"}


def load_recipe(path: str | Path) -> dict[str, Any]:
    """Return the unchecked content of a recipe file.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or repeats a key.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Recipe {path} cannot be read: {error}") from error
    content = read_yaml(text, f"Recipe {path}")
    if not isinstance(content, dict):
        raise RecipeError(
            f"Recipe {path} must hold sections such as model, data, training; found "
            f"{type(content).__name__}."
        )
    return content


def resolve_recipe(
    content: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    source: str = "the command line",
    more: Callable[[Mapping[str, Any]], Sequence[str]] | None = None,
) -> Recipe:
    """Return the checked recipe.

    Args:
        content: what a file holds (or nothing).
        overrides: ``section.key=value`` strings, the value in YAML.
        settings: dotted keys to values, from command-line options; None values are skipped.
        source: the file, for messages.
        more: what else is wrong with a content; asked, and said, where it is not valid.

    Raises:
        RecipeError: see ``validated``; or a secret stands in it, or it is another sort of file.
    """
    if instead := what_it_is_instead(content, source):
        raise RecipeError(instead)
    merged: dict[str, Any] = copy.deepcopy(dict(content))
    for key, value in (settings or {}).items():
        if value is not None:
            put_value(merged, key, value)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(f"--set {text}: expected section.key=value.")
        put_value(merged, key.strip(), yaml_value(value, f"--set {text}"))
    if found := secret_in(merged):
        raise RecipeError(
            f"{found}. A recipe is written to the run folder, the store and the model card: leave "
            "it out. Tokens of the Hub and keys of services are read from the environment."
        )
    try:
        return validated(Recipe, merged, f"The recipe from {source}")
    except RecipeError as error:
        further = more(merged) if more else ()
        raise RecipeError("\n  ".join([str(error), *further])) from None


def validated(schema: type[Schema], content: Mapping[str, Any], title: str) -> Schema:
    """Return what a mapping holds, as a schema has it.

    Args:
        schema: a model without unknown keys.
        content: nested mappings and lists.
        title: what is validated, for messages.

    Raises:
        RecipeError: unknown keys (with suggestions), missing ones, or values that do not fit; all
            of them at once.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        lines = [line for e in error.errors() for line in _explain(e, schema)]
        raise RecipeError("\n".join([f"{title} is not valid:", *lines])) from None


def to_yaml(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML; loading it gives the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def yaml_value(text: str, source: str) -> Any:
    """Return what a text means in YAML.

    Raises:
        RecipeError: it is not valid YAML.
    """
    return read_yaml(text, f"{source}: the value")


def put_value(content: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``a.b.0.c`` in nested dicts and lists.

    Raises:
        RecipeError: the place lies inside a value, or outside a list.
    """
    *parents, last = dotted.split(".")
    place: Any = content
    for i, part in enumerate(parents):
        if isinstance(place, list):
            place = place[_index(place, part, dotted)]
        else:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
        if not isinstance(place, dict | list):
            inside = ".".join(parents[: i + 1])
            raise RecipeError(f"--set {dotted}: '{inside}' is a value, it has no keys.")
    if isinstance(place, list):
        place[_index(place, last, dotted)] = value
    else:
        place[last] = value


def _index(place: list[Any], part: str, dotted: str) -> int:
    is_number = part.isascii() and part.isdigit() and len(part) < 10
    if not is_number or int(part) >= len(place):
        raise RecipeError(f"--set {dotted}: '{part}' is not an index below {len(place)}.")
    return int(part)


def _explain(error: Any, schema: type[BaseModel]) -> list[str]:
    """Return a line for each problem of a pydantic error, with where an unknown key belongs."""
    path = [str(part) for part in error["loc"]]
    dotted = ".".join(path)
    if error["type"] == "extra_forbidden":
        return [f"  {dotted}: unknown key. {_advice(path, schema)}"]
    if error["type"] == "missing":
        flag = _REQUIRED_AT.get(dotted)
        return [f"  {dotted}: required{f' (give {flag})' if flag else ''}."]
    if error["type"] == "value_error":
        found = error["ctx"]["error"]
        place = f"{dotted}: " if dotted else ""
        if isinstance(found, ArgumentProblems):
            return [f"  {place}{_with_place(line)}." for line in found.lines]
        return [f"  {place}{found}."]
    return [f"  {dotted}: {error['msg']} (got {reprlib.repr(error['input'])})."]


def _advice(path: Sequence[str], schema: type[BaseModel]) -> str:
    """Return where an unknown key belongs, else the keys that are known at its place."""
    allowed = _keys_at(schema, path[:-1])
    if schema is not Recipe and len(path) == 1 and path[0] in Recipe.model_fields:
        return "It belongs below `recipe`."
    is_near = difflib.get_close_matches(path[-1], allowed, n=1)
    place = place_of(path[-1], inside=path[0] if len(path) > 1 else "")
    if place is None or (is_near and path[-1] not in ALIASES):
        return did_you_mean(path[-1], allowed)
    return f"It is {place}." if schema is Recipe else f"It is `set: {{{place}: ..}}`."


def _with_place(line: str) -> str:
    """Return a problem of ``training``, of a key of another section with its place there."""
    found = re.match(r"unknown key '([^']*)'\. ", line)
    if found is None or "Did you mean" in line:
        return line
    place = place_of(found[1])
    return f"unknown key '{found[1]}'. It is {place}" if place else line


def _keys_at(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that the schema knows at a place."""
    model: Any = schema
    for part in path:
        if part.isdigit() or part not in getattr(model, "model_fields", {}):
            continue
        annotation = model.model_fields[part].annotation
        nested = [annotation, *get_args(annotation)]
        model = next((t for t in nested if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return list(model.model_fields)
