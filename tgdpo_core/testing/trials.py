"""Plugins at work as in a run, and what the contracts compare. Importing it loads torch."""

import contextlib
import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.evaluation.verdict_checks import checked_verdicts, question
from tgdpo_core.plugin_api.judges import Judge, Verdict
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.scoring.event_loop import finished
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.plugin_errors import named_errors
from tgdpo_core.scoring.process_state import require_kept, settings_kept, settings_kept_by
from tgdpo_core.scoring.weights import FittedTransform
from tgdpo_core.testing.contract import require, require_json

_SEED = 2_506_145_740

Values = list[torch.Tensor]
"""One 1-D float32 tensor per response."""


def judge_verdicts(judge: Judge, batch: Sequence[Any]) -> list[Verdict]:
    """Return a judge's checked verdicts between one ``setup`` and one ``teardown``.

    Raises:
        PluginError: the judge raised, or returned what a run would refuse.
    """
    who = f"judge {type(judge).__name__}"
    with set_up(judge):
        asked = tuple(batch)  # verdicts go by position, whatever is done to the list
        with settings_kept_by(who), named_errors(who, f"{len(batch)} {judge.reads}"):
            said = finished(question(judge)(batch))
    return checked_verdicts(who, said, asked, judge.reads)


def fit(transform: Transform, rewards: Values, examples: Sequence[Example]) -> Mapping[str, Any]:
    """Return the statistics of a transform as run.json gives them back.

    Raises:
        AssertionError: they are no dict of JSON values.
        PluginError: ``fit`` raised.
    """
    who = f"transform {type(transform).__name__}"
    state = call_plugin(who, "the training set", transform.fit, rewards, examples)
    require(
        isinstance(state, Mapping), f"{who}: fit must return a dict, got {type(state).__name__}."
    )
    require_json(state, f"{who}: what fit returns, {state},")
    restored: Mapping[str, Any] = json.loads(json.dumps(state))
    return restored


def transformed(
    transform: Transform, rewards: Values, examples: Sequence[Example], state: Mapping[str, Any]
) -> Values:
    """Return the checked values of a fitted transform; ``PluginError`` as in a run."""
    fitted = FittedTransform("the test's rewards", type(transform).__name__, transform, state)
    with settings_kept_by(f"transform {type(transform).__name__}"):
        return [fitted(r, each, place(each)) for r, each in zip(rewards, examples, strict=True)]


def noise(sizes: Sequence[int]) -> Values:
    """Return standard normal values, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=generator) for size in sizes]


@contextlib.contextmanager
def set_up(judge: Judge) -> Iterator[Judge]:
    """Set a judge up, and tear it down at the end."""
    who = f"judge {type(judge).__name__}"
    try:
        call_plugin(who, "setup", judge.setup)
        yield judge
    finally:
        call_plugin(who, "teardown", judge.teardown)


def require_equal(
    first: Values, second: Values, places: Sequence[str], message: str, *, tolerance: float = 0.0
) -> None:
    """Raise ``AssertionError`` at the first value that differs by more than a relative tolerance.

    Args:
        first: values in one circumstance.
        second: values in the other.
        places: how messages name each response.
        message: which circumstances these are, and what the author should do.
        tolerance: of the greater of 1 and the value; 0: equal to the last bit.

    Raises:
        AssertionError: two values differ.
    """
    __tracebackhide__ = True
    for a, b, where in zip(first, second, places, strict=True):
        different = torch.nonzero((a - b).abs() > tolerance * a.abs().clamp(min=1)).flatten()
        if len(different):
            t = int(different[0])
            raise AssertionError(
                f"{where}: value {t} is {float(a[t]):.6g} and then {float(b[t]):.6g}. {message}"
            )


@contextlib.contextmanager
def untouched(who: str, what: str, inputs: Any) -> Iterator[None]:
    """Raise ``AssertionError`` if the block changes its inputs or a global random state.

    Settings of the process are put back; a change is a ``PluginError``.

    Args:
        who: the plugin.
        what: how messages name the inputs.
        inputs: examples, tensors, or collections of them.
    """
    before = repr(_plain(inputs))  # as text, because NaN does not equal itself
    with settings_kept() as changed, _own_random_states():
        random_before = _random_states()
        yield
        random_after = _random_states()
    require_kept(who, changed)
    require(
        repr(_plain(inputs)) == before,
        f"{who} changed {what} that it was given. Others get them after it: work on a copy.",
    )
    moved = [name for name, state in random_after.items() if state != random_before[name]]
    require(
        not moved,
        f"{who} moved the global random state of {' and '.join(moved)}, on which the training run "
        "depends. Draw from a generator of your own: random.Random(seed), "
        "torch.Generator().manual_seed(seed).",
    )


def place(example: Example) -> str:
    """Return how messages name an example: the beginning of its text."""
    text = example.response if len(example.response) <= 24 else f"{example.response[:24]}..."
    return f"the response {text!r}"


@contextlib.contextmanager
def _own_random_states() -> Iterator[None]:
    """Give the block global random states that no seed in common use leads to, then restore them.

    A plugin that calls ``manual_seed(0)`` would else go unseen where the state is that of seed 0.
    """
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(_SEED)
    np.random.seed(_SEED)
    torch.default_generator.manual_seed(_SEED)
    try:
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])


def _random_states() -> dict[str, Any]:
    return {
        "random": random.getstate(),
        "numpy": repr(_plain(np.random.get_state())),
        "torch": torch.get_rng_state().tolist(),
    }


def _plain(value: Any) -> Any:
    """Return a copy made of lists, dicts and plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
