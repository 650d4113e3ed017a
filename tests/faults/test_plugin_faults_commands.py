"""A command of a plugin that fails: its plugin is named, and click's own ways to end are kept."""

import errno
from collections.abc import Callable

import pytest

from tests.faults.hostile_kinds import command

Install = Callable[..., str]
Command = Callable[..., tuple[int, str]]


def running(body: str) -> str:
    return command(f"@cli.command('yy')\n    def yy():\n        'Says y.'\n        {body}")


FAULTS = {
    "raise KeyError('in yy')": "KeyError: 'in yy'",
    "raise OSError(28, 'No space left on device')": "OSError: [Errno 28] No space left on device",
    "import asyncio; raise asyncio.CancelledError": "CancelledError",
    "raise GeneratorExit": "GeneratorExit",
    "raise BaseExceptionGroup('x', [GeneratorExit()])": "BaseExceptionGroup: x (1 sub-exception)",
    "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})": "E: (its text cannot be had",
    "from tgdpo_core.errors import PluginError; raise PluginError('no luck')": "no luck",
}


@pytest.mark.parametrize("body", FAULTS)
def test_what_a_command_raises_names_its_plugin(
    install: Install, tgdpo: Command, body: str
) -> None:
    distribution = install(running(body))
    code, error = tgdpo("yy")
    assert (code, "bug in tgdpo" in error) == (4, False), error
    assert f"Error: command 'yy' ({distribution}) failed on this call: {FAULTS[body]}" in error
    assert "Traceback" not in error


def test_a_command_whose_options_raise_names_its_plugin(install: Install, tgdpo: Command) -> None:
    options = "import click\n    @cli.command('yy')\n"
    options += "    @click.option('--x', default=lambda: 1 / 0)\n    def yy(x): ..."
    distribution = install(command(options))
    code, error = tgdpo("yy")
    assert code == 4, error
    assert f"command 'yy' ({distribution}) failed on this call: ZeroDivisionError" in error
    code, error = tgdpo(f"{distribution.split()[0]}:yy")
    assert f"command 'yy' ({distribution}) failed on this call: ZeroDivisionError" in error


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("import click; raise click.UsageError('not so')", 2, "not so"),
        ("import click; raise click.ClickException('sorry')", 1, "sorry"),
        ("import click; raise click.Abort", 130, "Interrupted."),
        ("import click; click.get_current_context().exit(9)", 9, ""),
        ("from tgdpo_core.errors import DataError; raise DataError('row 3')", 3, "Error: row 3"),
        ("import signal; signal.raise_signal(signal.SIGINT)", 130, "Interrupted."),
        ("raise BaseExceptionGroup('x', [KeyboardInterrupt()])", 130, "Interrupted."),
    ],
)
@pytest.mark.usefixtures("in_the_foreground")
def test_a_command_may_end_as_commands_do(
    install: Install, tgdpo: Command, body: str, code: int, said: str
) -> None:
    install(running(body))
    found, error = tgdpo("yy")
    assert (found, said in error) == (code, True), error
    assert "failed on this call" not in error


def test_output_that_nobody_reads_is_no_fault_of_the_plugin(
    install: Install, tgdpo: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(running(f"raise BrokenPipeError({errno.EPIPE}, 'Broken pipe')"))
    monkeypatch.setattr("sys.stdout", __import__("sys").stdout)  # click puts others in their place
    monkeypatch.setattr("sys.stderr", __import__("sys").stderr)
    with pytest.raises(SystemExit):
        tgdpo("yy")
