"""What a plugin raises names it, whatever it is, and no secret goes with it."""

import asyncio
from collections.abc import Callable

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.secret_values import secret_of


class Silent(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Interrupting(Exception):
    """Interrupts whoever asks for its text."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncio.CancelledError(), "CancelledError"),
        (GeneratorExit(), "GeneratorExit"),
        (SystemExit(3), "SystemExit: 3"),
        (BaseExceptionGroup("many", [SystemExit()]), r"BaseExceptionGroup: many \(1 sub"),
        (type("Panic", (BaseException,), {})("a library's"), "Panic: a library's"),
        (Silent(), r"Silent: \(its text cannot be had: __str__ raised RuntimeError\)"),
        (Interrupting(), r"Interrupting: \(its text cannot be had: __str__ raised Keyb"),
    ],
)
def test_whatever_a_plugin_raises_names_it(error: BaseException, said: str) -> None:
    with pytest.raises(PluginError, match=f"w failed on setup: {said}") as caught:
        call_plugin("w", "setup", raising(error))
    assert caught.value.__cause__ is error


def test_a_group_that_quotes_a_secret_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cr3t-value")
    secret_of("SOME_KEY")
    group = ExceptionGroup("many", [ExceptionGroup("more", [ValueError("s3cr3t-value")])])
    with pytest.raises(PluginError, match="w failed on setup: ExceptionGroup: many") as caught:
        call_plugin("w", "setup", raising(group))
    assert caught.value.__cause__ is None
