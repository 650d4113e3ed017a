"""A command."""

import click


@click.command("hello")
@click.option("--name", default="world", show_default=True, help="Who is greeted.")
def hello(name: str) -> None:
    """Say hello."""
    click.echo(f"Hello {name}!")
