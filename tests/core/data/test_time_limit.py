"""A block of code is ended when its time is over, and only then."""

import threading
import time

import pytest

from tgdpo_core.data.time_limit import TimeLimit, TookTooLong


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_block_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TookTooLong), TimeLimit(0.2):
        spin(30)


def test_one_limit_serves_many_blocks() -> None:
    limit = TimeLimit(0.5)
    for _ in range(1000):
        with limit:
            pass
    with pytest.raises(TookTooLong), limit:
        spin(30)
    with limit:
        spin(0.05)


def test_the_time_between_blocks_does_not_count() -> None:
    limit = TimeLimit(1.5)
    for _ in range(3):
        with limit:
            spin(0.01)
        time.sleep(0.8)


def test_it_works_outside_the_main_thread() -> None:
    ended = []

    def run() -> None:
        try:
            with TimeLimit(0.2):
                spin(30)
        except TookTooLong:
            ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert ended == [True]
