"""How often a plugin is asked: what checks cost where calls are paid."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

_ASKED = ("score", "score_pairs")


@contextlib.contextmanager
def counted_calls(factory: Any) -> Iterator[Counter[str]]:
    """Count the calls of a plugin's ``score`` and ``score_pairs``, and what they are about."""
    asked: Counter[str] = Counter(calls=0, responses=0)

    def counting(original: Any) -> Any:
        def score(self: Any, batch: Any) -> Any:
            asked.update(calls=1, responses=len(batch))
            return original(self, batch)

        return score

    own = {name: vars(factory)[name] for name in _ASKED if name in vars(factory)}
    for name in _ASKED if isinstance(factory, type) else ():
        if hasattr(factory, name):
            setattr(factory, name, counting(getattr(factory, name)))
    try:
        yield asked
    finally:
        for name in _ASKED if isinstance(factory, type) else ():
            if name in own:
                setattr(factory, name, own[name])
            elif name in vars(factory):
                delattr(factory, name)
