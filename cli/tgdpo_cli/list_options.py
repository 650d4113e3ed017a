"""Options that take several values: ``--alpha 0 0.5 2``, ``--alpha 0,0.5,2``, or repeated."""

from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from tgdpo_cli.help_groups import GroupedCommand

_TYPED = "tgdpo.typed"


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


class ListCommand(GroupedCommand):
    """A command without arguments, so that values behind a ``ListOption`` belong to it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a list option in front of each of its values."""
        names = {
            name
            for parameter in self.params
            if isinstance(parameter, ListOption)
            for name in parameter.opts
        }
        ctx.meta[_TYPED] = list(args)
        return super().parse_args(ctx, list(_repeated(args, names)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a further value of a list option; else as any command."""
        last = next((arg for arg in reversed(ctx.meta.get(_TYPED, ())) if _is_option(arg)), "")
        name = last.partition("=")[0]
        for parameter in self.params:
            is_named = isinstance(parameter, ListOption) and name in parameter.opts
            if is_named and not _is_option(incomplete):
                return parameter.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)


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
