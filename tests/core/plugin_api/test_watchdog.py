"""Calls of several threads are watched apart."""

import logging
import threading
import time

import pytest

from tgdpo_core.plugin_api import watchdog
from tgdpo_core.plugin_api.watchdog import watched


def test_calls_that_overlap_in_two_threads_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with watched("the other", "its work", patience=1):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with watched("this one", "its work", patience=60):
        leave.set()
        thread.join()
    with caplog.at_level(logging.WARNING):
        time.sleep(1.3)
    assert not watchdog._WATCHDOG.calls
    assert not caplog.records


def test_a_call_of_another_thread_is_named_while_this_one_is_at_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def other() -> None:
        with watched("the other", "its work", patience=0.1):
            until = time.monotonic() + 60
            while not caplog.records and time.monotonic() < until:
                time.sleep(0.02)

    thread = threading.Thread(target=other)
    with caplog.at_level(logging.WARNING), watched("this one", "its work", patience=60):
        thread.start()
        thread.join()
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert all(line.startswith("the other has been busy with its work for") for line in said)
