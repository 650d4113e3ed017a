"""Folds of problems: what is fitted is judged on problems that it has not seen."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def problem_folds(num_problems: int, num_folds: int, *, seed: int) -> Array:
    """Return [P] the fold of each problem; the folds differ by one problem at most."""
    shuffled = np.random.default_rng(seed).permutation(num_problems)
    folds = np.empty(num_problems, dtype=np.int64)
    folds[shuffled] = np.arange(num_problems) % num_folds
    return folds
