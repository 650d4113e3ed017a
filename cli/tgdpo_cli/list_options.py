"""Options that take several values: ``--alpha 0 0.5 2``, ``--alpha 0,0.5,2``, or repeated."""

from collections.abc import Iterator, Sequence
from typing import Any

import click


class ListOption(click.Option):
    """A repeatable option whose values may also follow one another."""

    def __init__(self, param_decls: Sequence[str], **attributes: Any) -> None:
        super().__init__(param_decls, **{**attributes, "multiple": True})


class NumberList(ListOption):
    """A list of numbers, each once."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> tuple[float, ...]:
        """Return the numbers; commas separate as well."""
        parts = [part for text in value or () for part in str(text).split(",")]
        try:
            return tuple(dict.fromkeys(float(part) for part in parts))
        except ValueError:
            raise click.BadParameter(
                f"{','.join(parts)}: expected numbers such as 0.1 0.5.", ctx, self
            ) from None


class ListCommand(click.Command):
    """A command without arguments, so that values behind a ``ListOption`` belong to it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a list option in front of each of its values."""
        names = {
            name
            for parameter in self.params
            if isinstance(parameter, ListOption)
            for name in parameter.opts
        }
        return super().parse_args(ctx, list(_repeated(args, names)))


def _repeated(args: Sequence[str], names: set[str]) -> Iterator[str]:
    current = None  # the list option whose values follow
    is_first = False
    for arg in args:
        name, equals, _ = arg.partition("=")
        if name in names:
            current, is_first = name, not equals
            yield arg
        elif _is_option(arg):
            current = None
            yield arg
        elif current is None or is_first:
            is_first = False
            yield arg
        else:
            yield from (current, arg)


def _is_option(arg: str) -> bool:
    """Return whether an argument is an option, and no negative number."""
    return arg.startswith("-") and not arg[1:2].isdigit() and arg[1:2] != "."
