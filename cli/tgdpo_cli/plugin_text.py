"""What ``tgdpo plugins show`` says of a plugin, for people and as JSON."""

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from tgdpo_cli.output import echo, table

if TYPE_CHECKING:
    from tgdpo_core.plugin_api.registered import Registered


def explain(item: "Registered") -> None:
    """Print a plugin's text and its options."""
    found = explained(item)
    echo(f"{item.kind} '{item.name}' from {item.origin} ({item.module})\n")
    echo(found["text"] or "(not documented)")
    if not found["options"]:
        return
    echo("\nOptions (KEY=VALUE):")
    rows = [
        (option["name"], option["type"], _shown_default(option), option["help"])
        for option in found["options"]
    ]
    table(("option", "type", "default", "help"), rows, first=("help", "default"))


def explained(item: "Registered") -> dict[str, Any]:
    """Return JSON: where a plugin comes from, its text, its options."""
    from tgdpo_core.plugin_api.options import option_fields

    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "module": item.module,
        "text": inspect.getdoc(item.factory) or "",
        "options": [_option(field) for field in option_fields(item.factory)],
    }


def _option(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    from tgdpo_core.plugin_api.secret_options import is_secret, variable_of

    found: dict[str, Any] = {
        "name": field.name,
        "type": getattr(field.type, "__name__", str(field.type)),
        "help": field.metadata.get("help", ""),
        "required": False,
    }
    if is_secret(field):
        return {**found, "secret": True, "variable": variable_of(field)}
    if field.default is not dataclasses.MISSING:
        return {**found, "default": field.default}
    if field.default_factory is not dataclasses.MISSING:
        return {**found, "default": field.default_factory()}
    return {**found, "required": True}


def _shown_default(option: dict[str, Any]) -> str:
    if option.get("secret"):
        return f"secret, from ${option['variable']}"
    return "required" if option["required"] else repr(option["default"])
