"""What tables call models that are named by their paths."""

from collections.abc import Sequence
from pathlib import PurePath


def short_names(models: Sequence[str]) -> list[str]:
    """Return a short name for each model.

    The last part of its path; where two would share it, the last part that tells all of them apart
    (``dpo`` of ``cells/dpo/seed-0``), or as many last parts as that takes.
    """
    paths = [PurePath(model).parts or (model,) for model in models]
    longest = max(map(len, paths), default=0)
    for depth in range(1, longest + 1):
        names = [path[-min(depth, len(path))] for path in paths]
        if len(set(names)) == len(set(models)):
            return names
    for depth in range(2, longest + 1):
        names = ["/".join(path[-depth:]) for path in paths]
        if len(set(names)) == len(set(models)):
            return names
    return list(models)
