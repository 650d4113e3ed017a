"""Options of a group that lists when no command of it is named."""

import click


def belongs_to_the_list(ctx: click.Context, as_json: bool) -> None:
    """Refuse ``--json`` between a group and a command, where it would be without effect."""
    if as_json and ctx.invoked_subcommand is not None:
        raise click.UsageError(
            f"Write --json behind the command: {ctx.command_path} {ctx.invoked_subcommand} --json."
        )
