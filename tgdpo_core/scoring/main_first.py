"""Work that the first process of a run does before the others come."""

from collections.abc import Callable

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from tgdpo_core.errors import TgdpoError


def by_main_first(make: Callable[[], object]) -> None:
    """Call a function in the first process, then in the others. Every process must call this.

    Raises:
        TgdpoError: what it raised in the first process, in all of them.
    """
    state = PartialState()
    error: TgdpoError | None = None
    if state.is_main_process:
        try:
            make()
        except TgdpoError as raised:
            error = raised
    error = broadcast_object_list([error])[0]
    if error is not None:
        raise error
    if not state.is_main_process:
        make()
