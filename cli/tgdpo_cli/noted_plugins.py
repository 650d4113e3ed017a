"""The plugins as they were when they were last loaded, for the completion of names.

STORE/plugins.json holds them with a mark of what is installed, as ``noted_commands`` does.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tgdpo_cli.noted_commands import installed_mark, notes_folder

if TYPE_CHECKING:
    from tgdpo_core.plugin_api.manager import PluginManager


@dataclass(frozen=True)
class NotedPlugin:
    """What the completion says of a plugin.

    Attributes:
        kind: its kind.
        name: how it is chosen.
        summary: one line.
        options: names of its options with their help.
        brings_model: a data set that has a model of its own.
    """

    kind: str
    name: str
    summary: str
    options: Sequence[tuple[str, str]] = ()
    brings_model: bool = False


def known_plugins(files: Sequence[str] = ()) -> Sequence[NotedPlugin]:
    """Return the installed plugins and those of files; they are loaded where none are noted."""
    if not files and (noted := _noted()) is not None:
        return noted
    from tgdpo_core.plugin_api.manager import PluginManager

    plugins = PluginManager(files=files)
    found = _described(plugins)
    if not files:
        _note(found)
    return found


def note_plugins(plugins: "PluginManager") -> None:
    """Keep the plugins as they were loaded."""
    _note(_described(plugins))


def _described(plugins: "PluginManager") -> list[NotedPlugin]:
    from tgdpo_core.plugin_api.options import option_fields

    return [
        NotedPlugin(
            item.kind,
            item.name,
            item.summary,
            [
                (each.name, str(each.metadata.get("help", "")))
                for each in option_fields(item.factory)
            ],
            bool(item.kind == "dataset" and getattr(item.factory, "model", None)),
        )
        for item in plugins
    ]


def _note(found: Sequence[NotedPlugin]) -> None:
    from tgdpo_core.store.folder import write_whole

    document = {"installed": installed_mark(), "plugins": [asdict(each) for each in found]}
    with contextlib.suppress(OSError):  # a folder that cannot be written is no matter
        notes_folder().mkdir(parents=True, exist_ok=True)
        write_whole(notes_folder() / "plugins.json", json.dumps(document))


def _noted() -> Sequence[NotedPlugin] | None:
    """Return the plugins as they were noted; None where something was installed since."""
    try:
        document = json.loads((notes_folder() / "plugins.json").read_text(encoding="utf-8"))
        if document["installed"] != installed_mark():
            return None
        return [_read(each) for each in document["plugins"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(document: dict[str, Any]) -> NotedPlugin:
    return NotedPlugin(
        str(document["kind"]),
        str(document["name"]),
        str(document["summary"]),
        [(str(key), str(text)) for key, text in document["options"]],
        bool(document["brings_model"]),
    )
