"""``tgdpo plugins``: what is installed."""

import click

from tgdpo_cli.main import Session
from tgdpo_cli.output import print_json, table


@click.group("plugins", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List and explain what is installed (default: list)."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=False)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_plugins(session: Session, as_json: bool) -> None:
    """List token rewards, transforms, shapings, data sets and judges, and what is broken."""
    plugins = session.plugins
    if as_json:
        items = [
            {
                "kind": item.kind,
                "name": item.name,
                "distribution": item.distribution,
                "version": item.version,
                "summary": item.summary,
            }
            for item in plugins
        ]
        print_json({"plugins": items, "broken": [str(broken) for broken in plugins.broken]})
        return
    table(
        ("kind", "name", "from", "what"),
        [(item.kind, item.name, item.origin, item.summary) for item in plugins],
    )
    for broken in plugins.broken:
        click.echo(f"BROKEN  {broken}")


@command.command("show")
@click.argument("name")
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Explain NAME: its text, its options, their types and defaults."""
    from tgdpo_core.errors import PluginError, did_you_mean

    plugins = session.plugins
    bare = name.rpartition(":")[2]
    kinds = sorted({item.kind for item in plugins if item.name == bare})
    if not kinds:
        broken = "".join(f"\n  {b}" for b in plugins.broken)
        names = {item.name for item in plugins}
        raise PluginError(f"Unknown plugin '{name}'. {did_you_mean(name, names)}{broken}")
    for kind in kinds:
        _explain(session, kind, name)


def _explain(session: Session, kind: str, name: str) -> None:
    import dataclasses
    import inspect

    from tgdpo_core.plugin_api.options import option_fields

    item = session.plugins.find(kind, name)
    click.echo(f"{item.kind} '{item.name}' from {item.origin} ({item.module})\n")
    click.echo(inspect.getdoc(item.factory) or "(not documented)")
    fields = option_fields(item.factory)
    if not fields:
        return
    click.echo("\nOptions (KEY=VALUE):")
    rows = []
    for field in fields:
        required = field.default is dataclasses.MISSING
        default = "required" if required else repr(field.default)
        kind_name = getattr(field.type, "__name__", str(field.type))
        rows.append((field.name, kind_name, default, field.metadata.get("help", "")))
    table(("option", "type", "default", "help"), rows)
