"""Options that are secrets: read from the environment when used, kept nowhere."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.secret_values import holds_secret, secret_of

_EMPTY = (dataclasses.MISSING, None, "")


class FromEnvironment:
    """The attribute of a secret option: its value is looked up each time it is read.

    So the instance does not hold it: no copy, ``repr``, pickle or JSON of it can.
    """

    def __init__(self, field: dataclasses.Field[Any]) -> None:
        self._field = field

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the value, or the default; ``PluginError`` if it is required and not set."""
        if instance is None:
            return self
        value = secret_of(variable_of(self._field))
        if value is None and is_required_secret(self._field):
            raise PluginError(f"{owner.__name__} needs {how_to_give(self._field)}.")
        return value if value is not None else self._field.metadata["default"]

    def __set__(self, instance: Any, value: Any) -> None:
        """Refuse: there is one place that it comes from."""
        raise AttributeError(
            f"{self._field.name} is a secret: it is read from the environment variable "
            f"{variable_of(self._field)} and cannot be set."
        )


def secret_field(default: Any, env: str | None, metadata: Mapping[str, Any]) -> Any:
    """Return the dataclass field of a secret option.

    Raises:
        TypeError: no variable is named, or a value is written into the source.
    """
    if not env:
        raise TypeError("option(secret=True) needs env='NAME', the variable that holds the value")
    if default not in _EMPTY:
        raise TypeError("option(secret=True): a secret has no value in the source, only None or ''")
    details = {**metadata, "env": env, "default": default, "stored": False}
    return dataclasses.field(init=False, repr=False, metadata=details)


def is_secret(field: dataclasses.Field[Any]) -> bool:
    """Return whether an option is a secret."""
    return "env" in field.metadata


def variable_of(field: dataclasses.Field[Any]) -> str:
    """Return the environment variable of a secret option."""
    return str(field.metadata["env"])


def is_required_secret(field: dataclasses.Field[Any]) -> bool:
    """Return whether a secret option has no default."""
    return is_secret(field) and field.metadata["default"] is dataclasses.MISSING


def how_to_give(field: dataclasses.Field[Any]) -> str:
    """Return the part of a sentence that says where a secret option is set."""
    return f"the environment variable {variable_of(field)} ({field.metadata['help']})"


def refuse_given_secrets(
    fields: Mapping[str, dataclasses.Field[Any]], values: Mapping[str, Any], who: str
) -> None:
    """Raise ``PluginError`` for a secret among option values, under its own name or another's.

    Recipes and command lines are kept: in run folders, in the shell's history, in job logs.
    """
    secrets = [field for field in fields.values() if is_secret(field)]
    for field in secrets:
        if field.name in values:
            raise PluginError(
                f"{who}: the option '{field.name}' is a secret and is not taken from recipes, "
                f"command lines or code, which are kept. Set {how_to_give(field)} and leave it out."
            )
    for field in secrets:
        secret_of(variable_of(field))
    for name, value in values.items():
        if holds_secret(str(value)):
            raise PluginError(
                f"{who}: the option '{name}' holds the value of a secret, "
                f"{' or '.join(variable_of(field) for field in secrets)}. Leave it out there: it "
                "is read from the environment."
            )
