"""A look at a module as it is right after its first import, before its importer does anything."""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Finder:
    """Finds one module as others do, and looks at it once it has been run.

    Args:
        name: of the module.
        look: is given the module.
    """

    def __init__(self, name: str, look: Callable[[ModuleType], None]) -> None:
        self._name, self._look = name, look

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return what the other finders find for the module; nothing for all others."""
        if name != self._name:
            return None
        self.leave()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            self._look_after(spec.loader)
        return spec

    def leave(self) -> None:
        """Leave the finders of this process."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)

    def _look_after(self, loader: Any) -> None:
        run = loader.exec_module

        def run_and_look(module: ModuleType) -> None:
            loader.exec_module = run
            run(module)
            self._look(module)

        loader.exec_module = run_and_look


@contextlib.contextmanager
def looked_at(name: str, look: Callable[[ModuleType], None]) -> Iterator[None]:
    """Look at a module: at once where it is loaded, else when the block is the first to import it.

    Args:
        name: of the module, an outermost one.
        look: is given the module, at most once.
    """
    if loaded := sys.modules.get(name):
        look(loaded)
        yield
        return
    finder = _Finder(name, look)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.leave()
