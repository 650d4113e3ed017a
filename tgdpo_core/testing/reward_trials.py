"""Token rewards at work as in a run: fitted, set up, asked, torn down. Importing it loads torch."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.rewards import Example, TokenReward
from tgdpo_core.scoring.calls import way_of
from tgdpo_core.scoring.checks import checked_rewards, kept
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.event_loop import finished
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.plugin_errors import named_errors
from tgdpo_core.scoring.preparing import prepare
from tgdpo_core.scoring.process_state import settings_kept_by
from tgdpo_core.scoring.sources import source_of_instance
from tgdpo_core.testing.trials import Values, place


@contextlib.contextmanager
def prepared(
    reward: TokenReward, examples: Sequence[Example], tokenizer: Any
) -> Iterator[Path | None]:
    """Yield a folder that ``prepare`` has filled from some examples; None for a reward without it.

    Score with another instance: in a run, too, only the folder outlives ``prepare``.

    Raises:
        PluginError: as in a run: it raised, or left nothing, or pickles.
    """
    if type(reward).prepare is TokenReward.prepare:
        yield None
        return
    source = source_of_instance(reward)
    with tempfile.TemporaryDirectory() as name:
        prepare(source, context_of(reward, tokenizer, Path(name)), examples, Path(name))
        yield Path(name)


def score(
    reward: TokenReward,
    batches: Sequence[list[Example]],
    tokenizer: Any,
    artifacts: Path | None = None,
) -> list[Values]:
    """Return the checked values of every batch, between one ``setup`` and one ``teardown``.

    Args:
        reward: the plugin.
        batches: what it is asked about, a call each.
        tokenizer: the policy's.
        artifacts: the folder that ``prepare`` has filled, if it has one.

    Raises:
        PluginError: the plugin raised, or returned what a run would refuse.
    """
    with at_work(reward, tokenizer, artifacts):
        return [asked(reward, batch) for batch in batches]


@contextlib.contextmanager
def at_work(reward: TokenReward, tokenizer: Any, artifacts: Path | None) -> Iterator[None]:
    """Set a reward up, and tear it down at the end; arguments as in ``score``."""
    who = f"token reward {type(reward).__name__}"
    context = context_of(reward, tokenizer, artifacts)
    try:
        call_plugin(who, "setup", reward.setup, context)
        yield
    finally:
        call_plugin(who, "teardown", reward.teardown)
        context.release()


def asked(reward: TokenReward, batch: list[Example]) -> Values:
    """Return the checked values of a batch, from a reward that is set up."""
    who = f"token reward {type(reward).__name__}"
    given = kept(batch)  # results go by position, whatever is done to the list
    where = [place(example) for example in given]
    # No guard of random states: they are looked at.
    with settings_kept_by(who), named_errors(who, where[0]):
        results = finished(way_of(reward).all_at_once(batch))
    return checked_rewards(who, results, given, where)


def context_of(reward: TokenReward, tokenizer: Any, artifacts: Path | None) -> FrozenModels:
    """Return what a reward's ``setup`` or ``prepare`` is given.

    Args:
        reward: the plugin.
        tokenizer: the policy's.
        artifacts: folder of what ``prepare`` leaves, or None.
    """
    return FrozenModels(
        tokenizer,
        device=torch.device("cpu"),
        precision=Precision(),
        who=f"token reward {type(reward).__name__}",
        may_load="models" in reward.required(),
        artifacts=artifacts,
    )
