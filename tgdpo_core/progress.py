"""How far a stage is: a bar on a screen, a line of the log now and then where there is none.

Stages shorter than two seconds show nothing.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

_DELAY = 2  # seconds
_SECONDS_BETWEEN_LINES = 15
# No speed: at 80 columns the bar needs its room, and the time that is left says it.
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining} left{postfix}]"


class StageBar(tqdm):  # type: ignore[type-arg] # not generic at run time in all versions
    """A progress bar with the time that is left; where stderr is no screen, lines of its text."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        stream = settings.get("file") or sys.stderr
        settings = {"file": stream, "delay": _DELAY, "disable": _is_other_process(), **settings}
        self.is_screen = stream.isatty()
        if self.is_screen:
            settings.setdefault("dynamic_ncols", True)
        else:
            # Without columns there is text alone: share, counts, time and what is left of it.
            settings |= {"ncols": 0, "mininterval": _SECONDS_BETWEEN_LINES, "miniters": 1}
            settings |= {"maxinterval": _SECONDS_BETWEEN_LINES}
        super().__init__(*args, **settings)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the text is made of; the total may become known on the way."""
        known = dict(super().format_dict)
        if self.is_screen and known["total"]:
            known["bar_format"] = known["bar_format"] or _FORMAT
        return known

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Return what prints the text: over the last one, or as a line of its own."""
        if file.isatty():
            return tqdm.status_printer(file)

        def print_line(text: str) -> None:
            if text.strip():
                file.write(f"{text.strip()}\n")
                file.flush()

        return print_line

    def expect(self, total: int) -> None:
        """Say how many units there are, where that is known late; nothing is shown for it."""
        self.total = total

    def set_postfix(
        self, ordered_dict: Any = None, refresh: bool | None = True, **kwargs: Any
    ) -> None:
        """Show values behind the bar; in a log they wait for its next line."""
        super().set_postfix(ordered_dict, bool(refresh) and self.is_screen, **kwargs)

    def close(self) -> None:
        """End it; where there is no screen, with a last line if there were others."""
        if self.is_screen or self.disable:
            super().close()
            return
        if self.last_print_t >= self.start_t + _DELAY:
            self.display()
        self.leave, self.fp = False, io.StringIO()  # tqdm would go back to the line's start
        super().close()


def say(text: str) -> None:
    """Write a line about a stage to stderr, above the bars that stand there."""
    if sys.stderr.isatty():
        StageBar.write(text, file=sys.stderr)
        return
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _is_other_process() -> bool:
    """Return whether another process of the run shows how far it is."""
    return int(os.environ.get("RANK") or 0) > 0


@contextmanager
def stage(
    desc: str, total: int | None, unit: str, *, done: int = 0, shown: bool = True
) -> Iterator[StageBar]:
    """Yield the bar of a stage; its ``update`` takes the number of units that are done.

    Args:
        desc: what is done, in a few words: at 80 columns the bar needs half of the line.
        total: units; None: not known.
        unit: what is counted.
        done: units that were done before.
        shown: whether anything is to be seen (other processes of a run show nothing).
    """
    is_hidden = not shown or _is_other_process()
    settings: dict[str, Any] = {"initial": done, "disable": is_hidden, "leave": None}
    with StageBar(total=total, desc=desc, unit=unit, **settings) as bar:
        yield bar
