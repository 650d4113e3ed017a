"""Loading one plugin: whatever its import and its hooks do stays its own affair, and is noted."""

import contextlib
import io
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.interrupts import interrupts_noted
from tgdpo_core.plugin_api.patches import foreign_functions, put_back, torch_functions
from tgdpo_core.plugin_api.process_state import require_kept, settings_kept
from tgdpo_core.plugin_api.watchdog import LOAD_TIMEOUT, seconds_of, watched

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

HEAVY = ("torch", "transformers")
"""Libraries that no plugin should import at its top."""

_SLOW_SECONDS = 2.0  # of a load; one that takes longer is named
_NAMED_AFTER = 5.0  # seconds
_LIMIT = 60.0
_LONGEST_PRINT = 200  # characters that are repeated


@dataclass
class Trace:
    """What loading a plugin took and did.

    Attributes:
        key: ``DISTRIBUTION:ENTRY``, or a file.
        version: of the distribution.
        package: the outermost package of its module.
        seconds: import and hooks together.
        heavy: which of ``HEAVY`` it was the first to import.
        hooks: those that it implements.
        printed: what it wrote to standard output.
        ending: what is said of an interface that ends, or nothing.
        stays: what it left in the process and nobody can take back.
        threads: names of threads that it left running and that would keep the process alive.
    """

    key: str
    version: str
    package: str = ""
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    printed: str = ""
    threads: tuple[str, ...] = ()
    ending: str = ""
    stays: tuple[str, ...] = ()

    @property
    def is_slow(self) -> bool:
        """Whether every command that loads plugins is slower for it."""
        return self.seconds > _SLOW_SECONDS or bool(self.heavy)


@dataclass
class Leftovers:
    """Threads that plugins left behind; the process does not wait for them at its end."""

    threads: list[tuple[str, threading.Thread]] = field(default_factory=list)

    def alive(self) -> list[str]:
        """Return the plugins whose threads still run."""
        return sorted({who for who, thread in self.threads if thread.is_alive()})


LEFTOVERS = Leftovers()


def guarded(trace: Trace, part: str, work: Callable[[], Result]) -> Result:
    """Return what a part of a plugin's loading gives.

    Random states and settings of the process are what they were; what is printed goes into the
    trace, standard output stays for commands.

    Args:
        trace: of the plugin; its fields are added to.
        part: what is done, for messages.
        work: the plugin's code.

    Raises:
        PluginError: it changed a setting of the process or replaced functions of torch, or was busy
            for too long.
        BaseException: whatever it raises, ``SystemExit`` included; ``KeyboardInterrupt`` only where
            the user pressed the keys.
    """
    loaded = {name for name in HEAVY if name in sys.modules}
    before = set(threading.enumerate())
    functions = torch_functions()
    printed = io.StringIO()
    started = time.monotonic()
    try:
        with (
            _random_kept(),
            settings_kept() as moved,
            contextlib.redirect_stdout(printed),
            _own_interrupts(),
            watched(
                f"Plugin {trace.key}",
                part,
                patience=_NAMED_AFTER,
                limit=seconds_of(LOAD_TIMEOUT, _LIMIT),
            ),
        ):
            result = work()
    finally:
        trace.seconds += time.monotonic() - started
        trace.heavy += tuple(n for n in HEAVY if n in sys.modules and n not in loaded)
        trace.printed += printed.getvalue()
        left = [t for t in threading.enumerate() if t not in before and not t.daemon]
        trace.threads += tuple(t.name for t in left)
        replaced = put_back(functions) if functions else foreign_functions(trace.package)
        trace.stays += () if functions else tuple(f"its own {name}" for name in replaced)
        if "torch._C" in sys.modules and "torch" not in sys.modules:
            trace.stays += ("a half-finished import of torch",)
        LEFTOVERS.threads += [(f"{trace.key} {trace.version}".strip(), t) for t in left]
    require_kept(part, moved)
    if replaced:
        raise PluginError(f"{part}: it replaces {', '.join(replaced)} for the whole process.")
    return result


def warn_of(trace: Trace) -> None:
    """Name what a plugin that works did on the side."""
    who = f"Plugin {trace.key} {trace.version}".strip()
    if trace.ending:
        logger.warning("%s %s", who, trace.ending)
    if trace.printed:
        logger.warning(
            "%s printed while it was loaded: %s", who, trace.printed.strip()[:_LONGEST_PRINT]
        )
    if trace.threads:
        logger.warning(
            "%s left a thread running (%s); no command waits for it.", who, ", ".join(trace.threads)
        )
    if trace.is_slow:
        what = f" and imports {' and '.join(trace.heavy)} at its top" if trace.heavy else ""
        logger.warning("%s took %.1f s to load%s.", who, trace.seconds, what)


@contextlib.contextmanager
def _random_kept() -> Iterator[None]:
    """Put global random states back; of numpy and torch, where they are loaded."""
    python = random.getstate()
    numpy, torch = (sys.modules.get(name) for name in ("numpy", "torch"))
    array = numpy.random.get_state() if numpy else None
    tensor = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(array)
        if torch:
            torch.set_rng_state(tensor)


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """Raise ``PluginError`` for a ``KeyboardInterrupt`` that the plugin raises itself."""
    with interrupts_noted() as noted:
        try:
            yield
        except BaseException as error:
            noted.hand_on(error)
            if isinstance(error, KeyboardInterrupt):
                raise PluginError("it raised KeyboardInterrupt") from None
            raise
