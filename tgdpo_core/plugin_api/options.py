"""Options of a plugin: annotated fields of its class are what a user may set.

    class Caps(TokenReward):
        penalty: float = option(1.0, help="size of the penalty")

The class becomes a keyword-only dataclass, so ``Caps(penalty=2.0)`` works in Python, and
``--reward-arg penalty=2`` on the command line is checked against the annotation.
"""

import contextlib
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar, dataclass_transform, overload

from tgdpo_core.errors import PluginError, did_you_mean
from tgdpo_core.plugin_api.error_text import said_by, text_of
from tgdpo_core.plugin_api.interrupts import interrupts_noted
from tgdpo_core.plugin_api.secret_options import (
    FromEnvironment,
    how_to_give,
    is_required_secret,
    is_secret,
    refuse_given_secrets,
    secret_field,
)
from tgdpo_core.secret_values import secret_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@overload
def option(
    default: Any = ...,
    *,
    help: str,
    default_factory: Any = ...,
    choices: tuple[Any, ...] | None = None,
    stored: bool = True,
) -> Any: ...


@overload
def option(
    default: None = ...,
    *,
    help: str,
    secret: Literal[True],
    env: str,
    init: Literal[False] = False,
) -> Any: ...


def option(  # noqa: PLR0913 - one door for every sort of option
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    default_factory: Any = dataclasses.MISSING,
    choices: tuple[Any, ...] | None = None,
    stored: bool = True,
    secret: bool = False,
    env: str | None = None,
    init: bool = True,
) -> Any:
    """Return a field with a sentence of help.

    Args:
        default: the value when the user gives none; without it the option is required.
        help: one sentence, shown by ``tgdpo plugins show``.
        default_factory: makes the default, for lists and dicts: each instance gets its own.
        choices: the only values allowed, where the annotation does not say it.
        stored: False for an option that acts after the store (a factor on stored values, say), so
            that changing it computes nothing again.
        secret: True for a key or password: text that comes from the environment alone, is refused
            in recipes and on command lines, and is never written, logged or part of a key. Without
            a default it must be set where something has to be scored.
        env: the environment variable of a secret.
        init: tells type checkers that a secret is no argument of the class; leave it alone.

    Raises:
        TypeError: ``secret`` without ``env``, or the other way round.
    """
    metadata = {"help": help, "choices": choices, "stored": stored}
    if secret:
        return secret_field(default, env, metadata)
    if env is not None or not init:
        raise TypeError("option(env=...) goes with secret=True")
    values = {"default": default, "default_factory": default_factory}
    given = {name: value for name, value in values.items() if value is not dataclasses.MISSING}
    return dataclasses.field(metadata=metadata, **given)


@dataclass_transform(kw_only_default=True, field_specifiers=(option,))
class Options:
    """Base of everything a user configures by ``KEY=VALUE``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the subclass a keyword-only dataclass: its annotated fields are its options."""
        super().__init_subclass__(**kwargs)
        for name in vars(cls).get("__annotations__", {}):
            owner = next(
                (b for b in cls.__mro__[1:] if inspect.isfunction(vars(b).get(name))), None
            )
            if owner:
                raise TypeError(
                    f"{cls.__name__}.{name} = option(...): {owner.__name__} has a method of that "
                    "name; call the option something else"
                )
        for name, value in vars(cls).items():
            default = value.default if isinstance(value, dataclasses.Field) else None
            if isinstance(default, list | dict | set):
                raise TypeError(
                    f"{cls.__name__}.{name} = option({default!r}, ...): all instances would share "
                    "it. Write option(default_factory=lambda: ..., help=...)"
                )
        dataclasses.dataclass(kw_only=True, eq=False)(cls)
        for field in filter(is_secret, option_fields(cls)):
            setattr(cls, field.name, FromEnvironment(field))

    def options(self, *, stored_only: bool = False) -> dict[str, Any]:
        """Return option values by name, secrets left out.

        Paths are text, members of an ``Enum`` are their values, so that JSON can hold them.

        Args:
            stored_only: leave out those with ``stored=False``, too.
        """
        return {
            f.name: _as_json(getattr(self, f.name))
            for f in option_fields(type(self))
            if not is_secret(f) and (not stored_only or f.metadata.get("stored", True))
        }

    def missing_secrets(self) -> list[str]:
        """Return how to give each secret that is required and not set."""
        return [
            how_to_give(f)
            for f in filter(is_required_secret, option_fields(type(self)))
            if secret_of(f.metadata["env"]) is None
        ]


def _as_json(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {_as_json(key): _as_json(each) for key, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value


OptionsT = TypeVar("OptionsT", bound=Options)


def option_fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    """Return the fields of a plugin class that a user may set, in the order they are written."""
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def build(cls: type[OptionsT], values: Mapping[str, Any], *, who: str) -> OptionsT:
    """Return ``cls`` built from option values, each checked against its annotation.

    Args:
        cls: the plugin class.
        values: option name to value; strings (``KEY=VALUE``) are converted to the field's type.
        who: how messages name the plugin, e.g. ``token reward 'caps' (tgdpo-reward-caps 0.1)``.

    Raises:
        PluginError: for an unknown option, a missing one, or a value its type does not admit.
    """
    fields = {f.name: f for f in option_fields(cls)}
    hints = _annotations(cls, who)
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise PluginError(f"{who} has no option '{unknown[0]}'. {did_you_mean(unknown[0], fields)}")
    refuse_given_secrets(fields, values, who)
    missing = [f.name for f in fields.values() if _required(f) and f.name not in values]
    if missing:
        helps = fields[missing[0]].metadata.get("help", "")
        raise PluginError(
            f"{who} needs the option '{missing[0]}' ({helps}): give {missing[0]}=VALUE."
        )
    converted = {
        name: _convert(value, hints[name], fields[name], who) for name, value in values.items()
    }
    with interrupts_noted() as noted:
        try:
            return cls(**converted)
        except (TypeError, ValueError) as error:
            said = f"{who} refuses its options {dict(values)}: {text_of(error)}"
            raise PluginError(said) from error
        except BaseException as error:
            noted.hand_on(error)
            raise PluginError(
                f"{who} failed when it was made from its options {dict(values)}: {said_by(error)}"
            ) from error


def _annotations(cls: type, who: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{who}: the annotation of an option cannot be resolved: {text_of(error)}. Import what "
            "options are annotated with at the top of the module, not under TYPE_CHECKING."
        ) from error


def _required(field: dataclasses.Field[Any]) -> bool:
    if is_secret(field):  # asked for where something has to be scored
        return False
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(value: Any, annotation: Any, field: dataclasses.Field[Any], who: str) -> Any:
    from pydantic import ValidationError

    from tgdpo_core.recipe.truth_values import is_truth_for_number

    adapter = _adapter(annotation, field.name, who)
    if is_truth_for_number(value, annotation):
        raise PluginError(f"{who}: option {field.name}={value!r}: expected a number.")
    try:
        if not isinstance(value, str):
            result = adapter.validate_python(value)
        elif value.lower() in ("none", "null") and _allows_none(annotation):
            result = None
        elif _is_json(value, annotation):
            result = adapter.validate_json(value)
        elif _is_list(annotation):
            parts = [part.strip() for part in value.split(",")] if value.strip() else []
            result = adapter.validate_python(parts)
        else:
            result = adapter.validate_strings(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        name = getattr(annotation, "__name__", str(annotation))
        raise PluginError(
            f"{who}: option {field.name}={value!r}: {reason} (type {name})."
        ) from error
    choices = field.metadata.get("choices")
    if choices and result not in choices:
        listed = ", ".join(map(str, choices))
        raise PluginError(f"{who}: option {field.name}={value!r} is not one of: {listed}.")
    return result


def _adapter(annotation: Any, name: str, who: str) -> "TypeAdapter[Any]":
    """Return what checks a value against an annotation."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
    except PydanticUserError as error:
        # A class that brings its own settings: it takes no others.
        with contextlib.suppress(PydanticUserError, TypeError):
            return TypeAdapter(annotation)
        raise PluginError(
            f"{who}: option {name} has the type {annotation}, which no text can be checked "
            f"against: {error}. Use bool, int, float, str, Literal, lists or dicts of these."
        ) from error


def _is_json(value: str, annotation: Any) -> bool:
    """Whether a string is read as JSON: lists, mappings, and choices that are not all text."""
    if annotation in (str, str | None):
        return False
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()
    return value.lstrip()[:1] in ("[", "{") or any(not isinstance(c, str) for c in choices)


def _is_list(annotation: Any) -> bool:
    """Whether ``a,b`` stands for several values; one of them may be ``a``."""
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return any(typing.get_origin(each) in (list, tuple, set, Sequence) for each in members)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _allows_none(annotation: Any) -> bool:
    return _is_union(annotation) and type(None) in typing.get_args(annotation)
