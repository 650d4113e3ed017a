"""The group ``tgdpo``: global options, lazily imported commands, errors and exit codes."""

import contextlib
import importlib
import io
import keyword
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.log_lines import show_warnings

if TYPE_CHECKING:
    from tgdpo_core.errors import TgdpoError
    from tgdpo_core.plugin_api.manager import PluginManager
    from tgdpo_core.plugin_api.plugin_commands import PluginCommand

# Command -> its one line of help, so that the list of commands imports none of them.
COMMANDS = {
    "train": "Train a model on preference pairs, with token rewards from a plugin.",
    "score": "Fill the store of per-token values, without training.",
    "inspect": "Show tokens coloured by reward and by weight.",
    "pairs": "Make preference pairs of a model's own answers, ranked by a judge.",
    "report": "Write the page of a run, or of several side by side.",
    "generate": "Write a model's answers to prompts, kept and never drawn twice.",
    "evaluate": "Generate answers with models or runs and judge them.",
    "export": "Write answers as the files that public benchmarks judge.",
    "import": "Read judgements of public benchmarks into our tables.",
    "ablate": "Compare token rewards over a grid and several seeds; one report.",
    "bench": "Judge token rewards by marked errors, before any training.",
    "train-prm": "Train a dense reward model on marked steps.",
    "exact": "Enumerate a tiny world: what the losses do, exactly.",
    "merge": "Write a LoRA run's weights merged into its base model.",
    "validate": "Check recipe, paths, plugins and data rows; load no model.",
    "store": "Look after the stored values: list, explain, verify, prune.",
    "plugins": "List and explain what is installed.",
    "doctor": "Is this machine ready; is a run folder whole, and can it go on?",
    "recipes": "List, show and copy the recipes that come along.",
    "convert": "Make a recipe of a configuration of TRL or LLaMA-Factory.",
}


@dataclass
class Session:
    """What the global options said.

    Attributes:
        plugin_files: Python files to load as plugins.
        debug: show tracebacks.
    """

    plugin_files: Sequence[str] = ()
    debug: bool = False

    @cached_property
    def plugins(self) -> "PluginManager":
        """The installed plugins, loaded when first asked for."""
        from tgdpo_core.plugin_api.manager import PluginManager

        return PluginManager(files=self.plugin_files)

    @cached_property
    def plugin_commands(self) -> "list[PluginCommand]":
        """The commands that plugins add; noted for `--help`, which loads no plugin."""
        from tgdpo_cli.noted_commands import note_commands

        found = self.plugins.commands(lambda: click.Group("tgdpo"), COMMANDS)
        if not self.plugin_files:
            note_commands([(each.name, each.summary, each.origin) for each in found])
        return found

    def plugin_command(self, name: str) -> "PluginCommand | None":
        """Return the command of a plugin by `NAME` or `DISTRIBUTION:NAME`.

        Raises:
            PluginError: two plugins add it.
        """
        from tgdpo_core.errors import PluginError

        distribution, _, bare = name.rpartition(":")
        found = [
            each
            for each in self.plugin_commands
            if each.name == bare and distribution in ("", each.distribution)
        ]
        if len({each.distribution for each in found}) > 1:
            options = " or ".join(f"tgdpo {each.distribution}:{bare}" for each in found)
            raise PluginError(
                f"The command '{bare}' is added by {' and by '.join(e.origin for e in found)}. "
                f"Say which one: {options}."
            )
        return found[0] if found else None


class LazyGroup(click.Group):
    """A group whose commands are imported when called; plugins may add more."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the global options; note the whole line for commands that start it again."""
        from tgdpo_cli.process_options import keep_arguments

        keep_arguments(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in commands, and those of plugins once they are loaded."""
        loaded = vars(_session(ctx)).get("plugin_commands") or ()
        return [*COMMANDS, *sorted({each.name for each in loaded})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; only an unknown one loads the plugins."""
        if cmd_name in COMMANDS:
            file = cmd_name.replace("-", "_") + "_" * keyword.iskeyword(cmd_name)
            module = importlib.import_module(f"tgdpo_cli.commands.{file}")
            command: click.Command = module.command
            return command
        found = _session(ctx).plugin_command(cmd_name)
        return found.command if found else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name; what a plugin's raises names the plugin."""
        from tgdpo_cli.command_faults import faults_named

        def running() -> "PluginCommand | None":
            name = ctx.invoked_subcommand
            return None if name is None or name in COMMANDS else _session(ctx).plugin_command(name)

        with faults_named(running):
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; suggest one where the name is unknown."""
        from tgdpo_core.errors import did_you_mean

        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            lines = [f"Unknown command '{name}'. {did_you_mean(name, self.list_commands(ctx))}"]
            lines += [f"  Not available: {broken}" for broken in _session(ctx).plugins.broken]
            ctx.fail("\n".join(lines))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from ``COMMANDS``, and those of plugins as last noted."""
        from tgdpo_cli.noted_commands import noted_commands

        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        noted = noted_commands()
        if noted is None:
            with formatter.section("Commands of plugins"):
                formatter.write_text("`tgdpo plugins` lists them.")
        elif noted:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(n, f"{summary} ({where})") for n, summary, where in noted])


def _session(ctx: click.Context) -> Session:
    """Return the session of the global options, which are read before a command is looked for."""
    if ctx.obj is None:
        ctx.obj = Session(ctx.params["plugin_files"], ctx.params["debug"])
    session: Session = ctx.obj
    return session


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plugin-file",
    "plugin_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Load a plugin from one Python file (repeatable).",
)
@click.option(
    "-p",
    "chosen",
    multiple=True,
    metavar="no:NAME",
    help="Leave out the plugins of the distribution NAME (repeatable).",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="tgdpo")
@click.pass_context
def cli(
    ctx: click.Context, plugin_files: Sequence[str], chosen: Sequence[str], debug: bool
) -> None:
    """Token-level reward guided DPO (TGDPO): every response token has its own weight.

    Where token rewards come from and how they become weights is a plugin:
    `tgdpo plugins list`. Plugins may add commands, too.
    """
    show_warnings()
    _block(chosen)
    _session(ctx)


def _block(chosen: Sequence[str]) -> None:
    """Leave plugins out, here and in processes that this one starts."""
    wrong = [each for each in chosen if not each.startswith("no:") or not each[3:].strip()]
    if wrong:
        raise click.UsageError(f"-p {wrong[0]}: expected no:NAME, NAME a distribution.")
    if chosen:
        before = os.environ.get("TGDPO_BLOCK_PLUGINS")
        names = [*([before] if before else ()), *(each[3:].strip() for each in chosen)]
        os.environ["TGDPO_BLOCK_PLUGINS"] = ",".join(names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of ``tgdpo_core.errors``."""
    from tgdpo_cli.leaving import leave
    from tgdpo_core.allocator import use_growing_segments

    use_growing_segments(os.environ)
    code = run(lambda: cli.main(arguments, prog_name="tgdpo", standalone_mode=False))
    leave(code)
    sys.exit(code)


def run(command: Callable[[], Any]) -> int:
    """Return the exit code of a command; errors are printed in one paragraph, not as traceback."""
    from tgdpo_core.failures import translated
    from tgdpo_core.reports.visible import printable

    try:
        with _stops_like_ctrl_c():
            result = command()
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        click.echo(printable(said.getvalue()), err=True, nl=False)
        return error.exit_code
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the last door; libraries in Rust panic past Exception
        # click takes the end of any file for Ctrl-C.
        is_end_of_file = isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError)
        return _failed(error.__cause__ or error if is_end_of_file else error, translated)
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _stops_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind a command as Ctrl-C does, where nothing else is done about them.

    Workers end, plugins let go of what they hold. `train` and `score` have handlers of their own.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [each for each in numbers if signal.getsignal(each) is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


def _failed(
    error: BaseException, translated: "Callable[[BaseException], TgdpoError | None]"
) -> int:
    """Print what went wrong, and return the exit code."""
    from tgdpo_core.reports.visible import printable

    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo(
            "Interrupted. What was stored and saved is kept; the same command goes on from there "
            "(train: with --resume).",
            err=True,
        )
        return 130
    known = translated(error)
    if known is None or "--debug" in sys.argv:
        click.echo(printable("".join(traceback.format_exception(error))), err=True, nl=False)
    if known is None:
        click.echo(
            f"This is a bug in tgdpo ({type(error).__name__}). Please report it with the lines "
            "above.",
            err=True,
        )
        return 1
    if not (known.is_everyones and int(os.environ.get("RANK") or 0)):
        click.echo(f"Error: {printable(str(known))}", err=True)
    return known.exit_code


if __name__ == "__main__":
    main()
