"""The page of all commands, from the click objects that read the command line."""

import textwrap
from collections.abc import Iterator

import click

from escaping import escaped
from tgdpo_cli.main import Session, cli

_INTRO = """# Command line

Made from the commands themselves; `tgdpo COMMAND --help` says the same. Exit codes: [start
page](../index.md#exit-codes). What `--json` prints is [one object, always of one
shape](../command-line.md#json).

"""


def cli_page() -> str:
    """Return the page: usage, text and options of every command, built-in plugins included."""
    return _INTRO + "\n".join(_section(command, ctx) for command, ctx in commands())


def commands() -> Iterator[tuple[click.Command, click.Context]]:
    """Yield `tgdpo` and every command below it, each with the context it is called in."""
    root = click.Context(cli, info_name="tgdpo", obj=Session())
    yield cli, root
    assert root.obj.plugin_commands  # loaded from here on, so that they are listed
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None, name
        yield from _below(command, click.Context(command, info_name=name, parent=root))


def _below(
    command: click.Command, ctx: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from _below(inner, click.Context(inner, info_name=name, parent=ctx))


def _section(command: click.Command, ctx: click.Context) -> str:
    level = 2 if ctx.parent is None or ctx.parent.parent is None else 3
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [f"{'#' * level} {ctx.command_path}\n", f"    {usage}\n", _text(command)]
    rows = [
        (names, text)
        for parameter in command.get_params(ctx)
        if (record := parameter.get_help_record(ctx)) is not None
        for names, text in [record]
    ]
    if rows:
        parts.append("| option | what |\n|---|---|")
        parts += [f"| `{names}` | {escaped(text)} |" for names, text in rows]
        parts.append("")
    return "\n".join(parts)


def _text(command: click.Command) -> str:
    """Return the help text; paragraphs marked as preformatted stay so."""
    paragraphs = []
    for paragraph in (command.help or "").split("\n\n"):
        if "\b" in paragraph:
            before, _, body = paragraph.partition("\b")
            paragraphs.append(before.strip())
            paragraphs.append(textwrap.indent(textwrap.dedent(body.strip("\n")), "    "))
        else:
            paragraphs.append(escaped(" ".join(paragraph.split())))
    return "\n\n".join(paragraphs) + "\n"
