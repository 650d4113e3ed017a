"""``tgdpo store``: what is stored, what a key is made of, whether it is whole, what may go."""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tgdpo_cli import completion
from tgdpo_cli.group_options import belongs_to_the_list
from tgdpo_cli.output import echo, json_option, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.store.catalogue import CollectionInfo

_DAY = 86_400


@click.group("store", invoke_without_command=True)
@click.option("--store", "root", type=click.Path(path_type=Path), help="Folder of the store.")
@json_option
@click.pass_context
def command(ctx: click.Context, root: Path | None, as_json: bool) -> None:
    """Look after the stored per-token values (default: list).

    The store lies in $TGDPO_STORE, else in tgdpo/store of the cache folder.
    """
    from tgdpo_core.store.folder import default_store_path

    belongs_to_the_list(ctx, as_json)
    ctx.obj = root or default_store_path()
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command, as_json=as_json)


@command.command("list")
@json_option
@click.pass_obj
def list_command(root: Path, as_json: bool) -> None:
    """List the collections: key, content, entries, size, last written."""
    from tgdpo_core.store.catalogue import list_collections

    collections = list_collections(root)
    if as_json:
        print_json({"store": str(root), "collections": [info.as_dict() for info in collections]})
        return
    echo(f"{root}: {len(collections)} collections")
    _print(collections)
    old = [info for info in collections if not info.is_readable]
    if old:
        echo(
            f"{len(old)} of them have another format and are not read; their values are computed "
            "again when a run asks for them. Remove them with: tgdpo store prune --old-format"
        )


@command.command("explain")
@click.argument("key", shell_complete=completion.store_keys)
@click.argument("other", required=False, shell_complete=completion.store_keys)
@json_option
@click.pass_obj
def explain(root: Path, key: str, other: str | None, as_json: bool) -> None:
    """Print everything that KEY is made of, as JSON; with OTHER, where the two differ."""
    from tgdpo_core.store.catalogue import differences, find_collection

    one = find_collection(root, key)
    if other is None:
        print_json(one.document)
        return
    rows = differences(one.document, find_collection(root, other).document)
    if as_json:
        print_json({"differences": [{"what": name, key: a, other: b} for name, a, b in rows]})
        return
    table(("what", key, other), [(name, repr(a), repr(b)) for name, a, b in rows])


@command.command("adopt")
@click.argument("old", shell_complete=completion.store_keys)
@click.argument("new", shell_complete=completion.store_keys)
@json_option
@click.pass_obj
def adopt_command(root: Path, old: str, new: str, as_json: bool) -> None:
    """Keep the values under the key OLD under NEW, too.

    For a plugin whose code changed and whose values did not. The keys must differ in its version,
    its files or what its author declares, and in nothing else.
    """
    from tgdpo_core.store.adoption import adopt

    number = adopt(root, old, new)
    if as_json:
        print_json({"old": old, "new": new, "entries": number})
        return
    echo(f"{number} entries of {old} are now under {new}, too.")


@command.command("verify")
@click.argument("keys", nargs=-1, shell_complete=completion.store_keys)
@json_option
@click.pass_obj
def verify_command(root: Path, keys: Sequence[str], as_json: bool) -> None:
    """Read every value of KEYS (default: all) and compare its checksum.

    Nothing is changed. A run sets aside by itself what is damaged, and computes it again.
    """
    from tgdpo_core.errors import StoreError
    from tgdpo_core.progress import StageBar
    from tgdpo_core.store.catalogue import find_collection, list_collections, verify

    chosen = [find_collection(root, key) for key in keys] or list_collections(root)
    damaged, documents = 0, []
    for info in chosen:
        if not info.is_readable:
            documents.append({"key": info.key, "is_readable": False})
            echo(f"{info.key}: another format, not read", err=as_json)
            continue
        with StageBar(total=info.num_bytes, desc=info.key, unit="B", unit_scale=True) as bar:
            found = verify(info, bar.update)
        echo(f"{info.key}: {found.num_entries} entries, {len(found.damage)} damaged", err=as_json)
        for number, problem in found.damage[:10]:
            echo(f"  shard {number:06d}: {problem}", err=as_json)
        damaged += len(found.damage)
        damage = [{"shard": number, "problem": str(problem)} for number, problem in found.damage]
        documents.append(
            {"key": info.key, "is_readable": True, "entries": found.num_entries, "damage": damage}
        )
    if as_json:
        print_json({"collections": documents, "damaged": damaged})
    if damaged:
        raise StoreError(
            f"{damaged} entries are damaged. The next run that needs them sets their shards aside "
            "and computes them again."
        )


@command.command("prune")
@click.option("--old-format", is_flag=True, help="Collections that this version does not read.")
@click.option("--unwritten-for", type=click.IntRange(min=1), metavar="DAYS", help="Old ones.")
@click.option(
    "--unused-by",
    "runs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What no run in this folder has used (repeatable).",
)
@click.option("--key", "keys", multiple=True, help="This one (repeatable).")
@click.option("--yes", is_flag=True, help="Remove them; without it they are only listed.")
@json_option
@click.pass_obj
def prune(
    root: Path,
    old_format: bool,
    unwritten_for: int | None,
    runs: Sequence[Path],
    keys: Sequence[str],
    yes: bool,
    as_json: bool,
) -> None:
    """Remove collections. Several conditions: those that fulfil all of them."""
    from tgdpo_core.store.catalogue import (
        find_collection,
        keys_of_runs,
        list_collections,
    )

    if not (old_format or unwritten_for or runs or keys):
        raise click.UsageError(
            "Say what may go: --old-format, --unwritten-for, --unused-by or --key."
        )
    chosen = [find_collection(root, key) for key in keys] or list_collections(root)
    used = keys_of_runs(runs) if runs else set()
    before = time.time() - _DAY * (unwritten_for or 0)
    chosen = [
        info
        for info in chosen
        if not (old_format and info.is_readable)
        and not (unwritten_for and info.last_written > before)
        and info.key not in used
    ]
    if as_json:
        _remove(chosen if yes else ())
        print_json({"removed": yes, "collections": [info.as_dict() for info in chosen]})
        return
    _print(chosen)
    size = _megabytes(sum(info.num_bytes for info in chosen))
    if not yes:
        echo(f"{len(chosen)} collections, {size}: nothing was removed. Add --yes to do so.")
        return
    _remove(chosen)
    echo(f"Removed {len(chosen)} collections, {size}.")


def _remove(collections: "Sequence[CollectionInfo]") -> None:
    from tgdpo_core.store.catalogue import remove

    for info in collections:
        remove(info)


def _print(collections: "Sequence[CollectionInfo]") -> None:
    rows = [
        (
            info.key,
            info.what,
            str(info.num_entries),
            _megabytes(info.num_bytes),
            datetime.datetime.fromtimestamp(info.last_written).isoformat(" ", "minutes"),
            "" if info.is_readable else "another format",
        )
        for info in collections
    ]
    if rows:
        table(("key", "what", "entries", "size", "last written", ""), rows, first=("what", "size"))


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MB"
