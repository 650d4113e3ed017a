"""The page of the built-in plugins, from what they register."""

import dataclasses
import inspect
from collections.abc import Sequence

from escaping import escaped
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.options import option_fields
from tgdpo_core.plugin_api.registered import Registered

_INTRO = """# Built-in plugins

Everything that comes along, with its options; `tgdpo plugins show NAME` says the same, and of
yours, too. How to write one: [Writing a plugin](../plugins.md).

"""
_KINDS = {
    "token-reward": (
        "Token rewards",
        "`--reward-plugin NAME`, options by `--reward-arg KEY=VALUE`.",
    ),
    "transform": ("Transforms", "`--reward-transform NAME:KEY=VALUE,...`, applied in order."),
    "shaping": ("Shapings", "`--shaping NAME`, options by `--shaping-arg KEY=VALUE`."),
    "loss": ("Losses", "`--set loss.name=NAME`."),
    "judge": ("Judges", "`tgdpo evaluate --judge NAME`, or `judging.judge` of a recipe."),
    "dataset": ("Data sets", "`--dataset NAME`."),
}


def plugins_page() -> str:
    """Return the page: every registered name by kind, its text and its options."""
    plugins = list(PluginManager())
    parts = [_INTRO]
    for kind in dict.fromkeys([*_KINDS, *(item.kind for item in plugins)]):
        title, use = _KINDS.get(kind, (f"Kind `{kind}`", ""))
        parts.append(f"## {title}\n\n{use}\n\n")
        parts += [_section(item) for item in plugins if item.kind == kind]
    return "".join(parts)


def _section(item: Registered) -> str:
    summary, _, rest = (inspect.getdoc(item.factory) or "").partition("\n")
    parts = [f"### `{item.name}`\n\n{escaped(summary)}\n\n"]
    if rest.strip():
        parts.append(f"```text\n{rest.strip()}\n```\n\n")
    rows = [_row(field) for field in option_fields(item.factory)]
    if rows:
        parts += ["| option | type | default | what |\n|---|---|---|---|\n", "".join(rows), "\n"]
    return "".join(parts)


def _row(field: dataclasses.Field[object]) -> str:
    is_required = (
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    default = "required" if is_required else f"`{field.default!r}`"
    type_name = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    type_name = type_name.replace("typing.", "")
    cells: Sequence[str] = (f"`{field.name}`", f"`{type_name}`", default)
    what = escaped(str(field.metadata.get("help", "")))
    return "| " + " | ".join([*cells, what]) + " |\n"
