"""``tgdpo plugins``: what is installed, whether it keeps its contract, and how to write one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli import completion
from tgdpo_cli.call_counts import counted_calls
from tgdpo_cli.group_options import belongs_to_the_list
from tgdpo_cli.main import Session
from tgdpo_cli.noted_plugins import note_plugins
from tgdpo_cli.output import echo, json_option, print_json, table

if TYPE_CHECKING:
    from tgdpo_core.plugin_api.loading import Trace
    from tgdpo_core.plugin_api.registered import Registered
    from tgdpo_core.testing.contract import PluginContract

_KINDS = ("token-reward", "transform", "shaping", "loss", "judge", "dataset", "command")
_NEW = (*_KINDS, "remote-reward")
_NUM_CHECKED_ROWS = 8  # enough to see a contract broken, few enough for a model on the CPU


@click.group("plugins", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, explain, check and start plugins (default: list)."""
    belongs_to_the_list(ctx, as_json)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=as_json, trace=False)


@command.command("list")
@json_option
@click.option("--trace", is_flag=True, help="Also what loading each took, and what it opens.")
@click.pass_obj
def list_plugins(session: Session, as_json: bool, trace: bool) -> None:
    """List everything that plugins bring, commands included, and what is broken."""
    plugins = session.plugins
    commands = session.plugin_commands
    if not session.plugin_files:
        note_plugins(plugins)
    rows = [(item.kind, item.name, item.origin, item.summary) for item in plugins]
    rows += [("command", each.name, each.origin, each.summary) for each in commands]
    if as_json:
        names = ("kind", "name", "distribution", "version", "summary")
        items = [
            (item.kind, item.name, item.distribution, item.version, item.summary)
            for item in plugins
        ]
        items += [
            ("command", each.name, each.distribution, each.version, each.summary)
            for each in commands
        ]
        document: dict[str, Any] = {
            "plugins": [dict(zip(names, item, strict=True)) for item in items],
            "broken": [str(broken) for broken in plugins.broken],
        }
        if trace:
            document["trace"] = [_traced(session, each) for each in plugins.traces]
        print_json(document)
        return
    table(("kind", "name", "from", "what"), rows, names=2, first=("what",))
    for broken in plugins.broken:
        echo(f"BROKEN  {broken}")
    if trace:
        _show_trace(session)


def _traced(session: Session, trace: "Trace") -> dict[str, Any]:
    """Return what loading a plugin took and brought, as JSON."""
    distribution = trace.key.rpartition(":")[0] or trace.key
    broken = {each.key for each in session.plugins.broken}
    commands = [c.name for c in session.plugin_commands if c.distribution == distribution]
    return {
        "plugin": trace.key,
        "version": trace.version,
        "seconds": round(trace.seconds, 4),
        "imports": list(trace.heavy),
        "hooks": list(trace.hooks),
        "commands": commands if "register_commands" in trace.hooks else [],
        "threads": list(trace.threads),
        "printed": trace.printed,
        "broken": trace.key in broken,
    }


def _show_trace(session: Session) -> None:
    from tgdpo_core.plugin_api.hookspecs import API_VERSION

    echo(f"\nLoading (interface {API_VERSION}), slowest first")
    found = sorted((_traced(session, t) for t in session.plugins.traces), key=_slowest)
    rows = [
        (
            f"{each['plugin']} {each['version']}".strip(),
            f"{each['seconds']:.3f} s",
            ", ".join(each["imports"]),
            ", ".join(hook.removeprefix("register_") for hook in each["hooks"]) or "(broken)",
            ", ".join(each["commands"]),
        )
        for each in found
    ]
    table(("plugin", "time", "imports", "hooks", "commands"), rows)


def _slowest(traced: dict[str, Any]) -> float:
    return -float(traced["seconds"])


@command.command("show")
@click.argument("name", shell_complete=completion.plugin_names())
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Explain NAME: its text, its options, their types and defaults."""
    from tgdpo_cli.plugin_text import explain, explained

    found = _named(session, name)
    if as_json:
        print_json({"plugins": [explained(item) for item in found]})
        return
    for item in found:
        explain(item)


@command.command("check")
@click.argument("name", shell_complete=completion.plugin_names())
@click.option("--arg", "args", multiple=True, metavar="KEY=VALUE", help="Option of the plugin.")
@click.option("--dataset", help="Pairs to check it on (the first 8); default: the kit's own.")
@click.option("--split", default="train", show_default=True, help="Split of the data set.")
@click.option("--model", help="Whose tokenizer to use as the policy's; default: the kit's own.")
@json_option
@click.pass_obj
def check(
    session: Session,
    name: str,
    args: Sequence[str],
    dataset: str | None,
    split: str,
    model: str | None,
    as_json: bool,
) -> None:
    """Hold a plugin to its contract.

    The checks are those of `tgdpo_core.testing`; exit code 4 if one fails. Checked: what it returns
    (count, length, finite, no gradient), that it is the same each time and in every batch, that
    nothing else is changed, and that its text, options and imports are in order.

    A token reward or a judge is asked about the same few responses many times (the kit's own: about
    15 responses, some 120 times in all), which costs where every call is paid; how often is said at
    the end. --dataset FILE with one pair keeps it low.
    """
    from tgdpo_cli.recipe_options import key_value
    from tgdpo_core.testing.checking import CONTRACT_OF_KIND

    values = dict(key_value(text, "--arg") for text in args)
    found = []
    for item in _named(session, name):
        contract = CONTRACT_OF_KIND[item.kind]()
        contract.plugin, contract.module = item.create(values), item.module
        if dataset:
            _set(contract, "rows", _rows(session, dataset, split), f"--dataset for a {item.kind}")
        if model:
            _set(contract, "tokenizer", _tokenizer(session, model), f"--model for a {item.kind}")
        with counted_calls(item.factory) as asked:
            checks = _run_checks(item, contract, as_json)
        found.append({"plugin": str(item), "checks": checks, "asked": dict(asked)})
        if asked["calls"] and not as_json:
            echo(f"  asked {asked['calls']} times about {asked['responses']} responses in all")
    if as_json:
        print_json({"plugins": found})
    _raise_if_failed(found)


def _set(contract: "PluginContract", attribute: str, value: Any, what: str) -> None:
    if not hasattr(contract, attribute):
        raise click.UsageError(f"{what}: its checks have no use for it. Leave it out.")
    setattr(contract, attribute, value)


def _rows(session: Session, dataset: str, split: str) -> list[Any]:
    from itertools import islice

    from tgdpo_core.data.sources import load_rows

    rows = load_rows(dataset, split=split, plugins=session.plugins)
    return [row for _, row in islice(rows, _NUM_CHECKED_ROWS)]


def _tokenizer(session: Session, model: str) -> Any:
    from tgdpo_core.models.loading import load_tokenizer
    from tgdpo_core.preparation.plan import registered_model

    return load_tokenizer(registered_model(model, session.plugins) or model)


def _run_checks(
    item: "Registered", contract: "PluginContract", as_json: bool
) -> list[dict[str, str | None]]:
    """Return every check with its failure, and print each as soon as it is known."""
    from tgdpo_core.testing.checking import outcomes

    if not as_json:
        echo(str(item))
    results: list[dict[str, str | None]] = []
    for outcome in outcomes(contract):
        if outcome.failure is None:
            line = f"  ok      {outcome.check}"
        elif any(outcome.failure == result["failure"] for result in results):
            line = f"  FAILED  {outcome.check}: as above"
        else:
            line = f"  FAILED  {outcome.check}: {outcome.failure}"
        if not as_json:
            echo(line)
        results.append({"check": outcome.check, "failure": outcome.failure})
    return results


def _raise_if_failed(found: Sequence[dict[str, Any]]) -> None:
    from tgdpo_core.errors import PluginError

    for each in found:
        failed = sum(result["failure"] is not None for result in each["checks"])
        if failed:
            raise PluginError(
                f"{each['plugin']} fails {failed} of {len(each['checks'])} checks. One made for "
                "certain data must be checked on them: --dataset, and --model for the tokenizer."
            )


@command.command("new")
@click.argument("kind", type=click.Choice(_NEW))
@click.argument("name")
@click.option(
    "--output",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which the package's folder is made.",
)
@click.option(
    "--reads",
    type=click.Choice(["answers", "pairs", "comparisons"]),
    help="What a judge is asked about (default: answers).",
)
@json_option
@click.pass_obj
def new(
    session: Session, kind: str, name: str, output: Path, reads: str | None, as_json: bool
) -> None:
    """Start a package for a plugin.

    It has a working plugin NAME of the KIND, its test and a README, to be changed into yours.
    """
    from tgdpo_cli.scaffold import write_package
    from tgdpo_core.errors import UsageError

    if reads and kind != "judge":
        raise UsageError(f"--reads is for judges; a {kind} has no use for it.")
    registered = "token-reward" if kind == "remote-reward" else kind
    if session.plugins.has(registered, name):
        taken = session.plugins.find(registered, name)
        raise UsageError(f"There is a {taken} already. Choose another name.")
    template = f"{kind}-of-{reads}" if reads in ("pairs", "comparisons") else kind
    folder = write_package(template, name, output)
    if as_json:
        print_json({"kind": kind, "name": name, "folder": str(folder)})
        return
    echo(f"Wrote {folder}. Next: pip install -e '{folder}[test]', then pytest {folder}")


def _named(session: Session, name: str) -> "list[Registered]":
    """Return what is registered under a name, of every kind; ``PluginError`` if nothing is."""
    from tgdpo_core.errors import PluginError, did_you_mean

    plugins = session.plugins
    bare = name.rpartition(":")[2]
    kinds = sorted({item.kind for item in plugins if item.name == bare})
    if not kinds:
        broken = "".join(f"\n  {b}" for b in plugins.broken)
        names = {item.name for item in plugins}
        raise PluginError(f"Unknown plugin '{name}'. {did_you_mean(name, names)}{broken}")
    return [plugins.find(kind, name) for kind in kinds]
