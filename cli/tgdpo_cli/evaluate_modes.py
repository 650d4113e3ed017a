"""Other forms of ``tgdpo evaluate``, by the option that each begins with."""

import importlib
from typing import Any

import click

from tgdpo_cli.help_groups import GroupedCommand

# Option -> module of the command that takes over, with options of its own.
MODES = {
    "--tasks": "tgdpo_cli.harness_tasks",
    "--dimensions": "tgdpo_cli.dimensions",
}
_HELP = (
    "Also: `tgdpo evaluate RUN... --tasks NAME,...` puts tasks of lm-evaluation-harness, "
    "`tgdpo evaluate RUN... --dimensions FILE` measures truthfulness, refusals and bias. Their "
    "options: `tgdpo evaluate --tasks NAME --help`, `tgdpo evaluate --dimensions FILE --help`."
)


class EvaluateCommand(GroupedCommand):
    """``tgdpo evaluate``; with an option of ``MODES`` another command of the same name."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of the command that the arguments mean."""
        given = {arg.partition("=")[0] for arg in args}
        mode = next((flag for flag in MODES if flag in given), None)
        if mode is None:
            return super().make_context(info_name, args, parent, **extra)
        other: click.Command = importlib.import_module(MODES[mode]).command
        return other.make_context(info_name, args, parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how the other forms are called."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_HELP)
