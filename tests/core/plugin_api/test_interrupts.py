"""The user's interrupt ends a command wherever it comes; one of a plugin names the plugin."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.interrupts import NotingHandler, interrupts_noted
from tgdpo_core.plugin_api.loading import Trace, guarded
from tgdpo_core.scoring.guard import call_often, call_plugin, process_kept


def of_its_own() -> None:
    raise KeyboardInterrupt


def in_a_group() -> None:
    raise BaseExceptionGroup("tasks", [ValueError("v"), KeyboardInterrupt()])


def of_the_user() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def of_the_user_in_a_group() -> None:
    try:
        of_the_user()
    except KeyboardInterrupt as error:
        raise BaseExceptionGroup("tasks", [error]) from None


def of_a_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def loaded(work: Callable[[], Any]) -> None:
    guarded(Trace("x:main", "1"), "its import", work)


def called(work: Callable[[], Any]) -> None:
    call_plugin("w", "setup", work)


def called_often(work: Callable[[], Any]) -> None:
    with process_kept("w"):
        call_often("w", "setup", work)


DOORS = [loaded, called, called_often]


@pytest.fixture
def stops() -> Iterator[None]:
    """A handler that makes an interrupt of SIGTERM, as the command line has one."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("work", [of_the_user, of_the_user_in_a_group, of_a_stop])
@pytest.mark.usefixtures("in_the_foreground", "stops")
def test_the_users_interrupt_is_one(door: Callable[..., None], work: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        door(work)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


@pytest.mark.parametrize("door", [called, called_often])
@pytest.mark.parametrize(
    ("work", "said"),
    [
        (of_its_own, "w failed on setup: KeyboardInterrupt"),
        (in_a_group, r"w failed on setup: BaseExceptionGroup: tasks \(2 sub-exceptions\)"),
    ],
)
def test_an_interrupt_of_the_plugin_names_it(
    door: Callable[..., None], work: Callable[[], None], said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        door(work)


@pytest.mark.usefixtures("in_the_foreground")
def test_an_interrupt_before_is_not_taken_for_one_during_the_call() -> None:
    with pytest.raises(KeyboardInterrupt):
        called(of_the_user)
    with pytest.raises(PluginError, match="KeyboardInterrupt"):
        called(of_its_own)


def test_a_handler_that_is_set_within_a_pass_is_heard() -> None:
    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with process_kept("w"):
        before = signal.signal(signal.SIGINT, stop)
        with pytest.raises(KeyboardInterrupt):
            call_often("w", "setup", of_the_user)
        signal.signal(signal.SIGINT, before)
    assert not isinstance(signal.getsignal(signal.SIGINT), NotingHandler)


def test_an_interrupt_in_another_thread_is_the_plugins() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            called(of_its_own)
        except BaseException as error:  # noqa: BLE001 - looked at below
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(found[0], PluginError)


def test_in_the_background_an_interrupt_is_the_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(PluginError, match="KeyboardInterrupt"):
            called(of_its_own)
        monkeypatch.setenv("TGDPO_PLUGIN_TIMEOUT", "60")  # listens to SIGINT for the limit
        with pytest.raises(KeyboardInterrupt):
            called(of_the_user)
    finally:
        signal.signal(signal.SIGINT, before)


def test_calls_within_others_listen_once() -> None:
    with interrupts_noted():
        outer = signal.getsignal(signal.SIGINT)
        with interrupts_noted():
            assert signal.getsignal(signal.SIGINT) is outer
        assert signal.getsignal(signal.SIGINT) is outer
