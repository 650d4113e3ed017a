"""What an awaitable of a plugin gives or raises, in the loop that all of them share."""

import pytest

from tgdpo_core.scoring.event_loop import finished


async def _gives() -> int:
    return 3


async def _raises(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(4), ValueError("x")])
def test_what_is_raised_arrives_and_the_loop_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)):
        finished(_raises(error))
    assert finished(_gives()) == 3


def test_what_is_no_awaitable_is_itself() -> None:
    assert finished(3) == 3
