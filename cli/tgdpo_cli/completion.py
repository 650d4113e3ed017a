"""What the shell completes: names of plugins, recipes, runs and keys, without torch.

Plugins are not loaded while a key is pressed where they were noted before (``noted_plugins``).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tgdpo_cli.noted_plugins import NotedPlugin, known_plugins

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST_FOLDERS = 200  # read while a key is pressed


def plugin_names(*kinds: str, files: bool = False) -> Complete:
    """Return what completes names of plugins of some kinds; all kinds where none is given.

    Args:
        kinds: token-reward, transform, shaping, loss, judge, dataset.
        files: whether a file or folder will do as well.
    """

    def complete(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
        found = [each for each in _plugins(ctx) if not kinds or each.kind in kinds]
        items = _matching(given, ((each.name, each.summary) for each in found))
        return [*items, *(_files(given) if files else [])]

    return complete


def option_keys(kind: str, chosen: str) -> Complete:
    """Return what completes ``KEY=`` for options of the plugins that another option names.

    Args:
        kind: of the plugins.
        chosen: the parameter that names one or several.
    """

    def complete(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
        names = ctx.params.get(chosen) or ()
        names = [names] if isinstance(names, str) else [name.partition("=")[0] for name in names]
        found = [each for each in _plugins(ctx) if each.kind == kind and each.name in names]
        options = [
            (f"{each.name}.{key}=" if len(found) > 1 else f"{key}=", text)
            for each in found
            for key, text in each.options
        ]
        return _matching(given, options)

    return complete


def recipes(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete the recipes that come along, and files."""
    from tgdpo_cli.shipped_recipes import shipped_recipes

    return [*_matching(given, ((name, "") for name in shipped_recipes())), *_files(given)]


def recipe_files(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete everything that comes along, launch files included."""
    from tgdpo_cli.shipped_recipes import evaluation_files, further_files, shipped_recipes

    files = {**shipped_recipes(), **evaluation_files(), **further_files()}
    return _matching(given, ((name, "") for name in files))


def accelerate_configs(
    ctx: click.Context, param: click.Parameter, given: str
) -> list[CompletionItem]:
    """Complete the accelerate configs that come along, and files."""
    from tgdpo_cli.shipped_recipes import further_files

    names = [name for name in further_files() if name.startswith("accelerate/")]
    return [*_matching(given, ((name, "") for name in names)), *_files(given)]


def runs(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete run folders: those in ``runs``, or below what is typed already; and folders."""
    return [*_matching(given, _run_folders(given)), CompletionItem(given, type="dir")]


def models(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete what can be a model: run folders, data sets that bring one, folders."""
    data_sets = ((p.name, "the model of this data set") for p in _plugins(ctx) if p.brings_model)
    return [*_matching(given, data_sets), *runs(ctx, param, given)]


def recipe_keys(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete ``section.key=`` of a recipe, names of training arguments included."""
    from tgdpo_core.recipe.hints import known_keys

    return _matching(given, ((f"{key}=", "") for key in known_keys()))


def store_keys(ctx: click.Context, param: click.Parameter, given: str) -> list[CompletionItem]:
    """Complete the keys of stored collections."""
    from tgdpo_core.store.catalogue import list_collections
    from tgdpo_core.store.folder import default_store_path

    parent = ctx.parent.params.get("root") if ctx.parent else None
    found = list_collections(parent or default_store_path())
    return _matching(given, ((info.key, info.what) for info in found))


def _plugins(ctx: click.Context) -> Sequence[NotedPlugin]:
    files = ctx.find_root().params.get("plugin_files") or ()
    try:
        return known_plugins([str(file) for file in files])
    except Exception:  # noqa: BLE001 - a broken plugin must not print into a half-typed line
        return ()


def _matching(given: str, found: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=text or None) for name, text in found if name.startswith(given)
    ]


def _files(given: str) -> list[CompletionItem]:
    return [CompletionItem(given, type="file")]


def _run_folders(given: str) -> Iterable[tuple[str, str]]:
    """Return run folders below the folder that is typed, else below ``runs``."""
    place = given.rpartition("/")[0] if "/" in given else "runs"
    try:
        with os.scandir(Path(place).expanduser()) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())[:_MOST_FOLDERS]
    except OSError:
        return []
    found = [f"{place}/{name}" for name in names]
    return [(path, "run") for path in found if (Path(path).expanduser() / "run.json").is_file()]
