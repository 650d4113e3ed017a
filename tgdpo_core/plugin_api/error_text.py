"""What an exception of a plugin says, whatever its class does when it is asked."""

from collections.abc import Iterator


def text_of(error: BaseException) -> str:
    """Return the text of an exception; one that raises when it is asked for says so."""
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 - its class is the plugin's
        return f"(its text cannot be had: __str__ raised {type(failure).__name__})"


def said_by(error: BaseException) -> str:
    """Return how messages quote an exception: class and text, or the class where there is none."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown_with(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that a traceback shows with it: causes, members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *_members(each)]


def holds_interrupt(error: BaseException) -> bool:
    """Return whether an exception is a ``KeyboardInterrupt``, or a group with one in it."""
    return isinstance(error, KeyboardInterrupt) or any(map(holds_interrupt, _members(error)))


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()
