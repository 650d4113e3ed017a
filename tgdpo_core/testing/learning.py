"""Whether a dynamic reward learns in training alone, and goes on exactly after a resume."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.plugin_api.rewards import Example, Phase, TokenReward
from tgdpo_core.scoring.reward_state import digest, read_states, write_states
from tgdpo_core.scoring.sources import source_of_instance
from tgdpo_core.testing.contract import require
from tgdpo_core.testing.reward_trials import asked, at_work, prepared
from tgdpo_core.testing.trials import Values, place, require_equal


def require_resumable(
    fresh: Callable[[], TokenReward], examples: Sequence[Example], tokenizer: Any
) -> None:
    """Put a dynamic reward through two steps of a run, and another instance through the second.

    Args:
        fresh: makes an instance.
        examples: both responses of some pairs.
        tokenizer: the policy's.

    Raises:
        AssertionError: it learnt outside of training, has no state to save, or went on otherwise.
    """
    with prepared(fresh(), examples, tokenizer) as artifacts:
        first, second = fresh(), fresh()
        with at_work(first, tokenizer, artifacts), at_work(second, tokenizer, artifacts):
            _require_learning_in_training_alone(first, examples)
            learns = source_of_instance(first).is_stateful
            before = _ask(first, examples, "statistics")
            _step(first, examples, 1)
            after = _ask(first, examples, "statistics")
            if not learns:
                _require_nothing_learnt(first, before, after)
                return
            second.load_state_dict(_through_a_file(first))
            _require_same(first, second, examples, "after load_state_dict")
            _step(first, examples, 2)
            _step(second, examples, 2)
            _require_same(first, second, examples, "one step after load_state_dict")


def _require_learning_in_training_alone(reward: TokenReward, examples: Sequence[Example]) -> None:
    phases: tuple[Phase, ...] = ("statistics", "eval")
    for phase in phases:
        before = digest(reward.state_dict())
        _ask(reward, examples, phase)
        require(
            digest(reward.state_dict()) == before,
            f"{type(reward).__name__}: its state changed in the phase '{phase}'. Learn where "
            "self.phase is 'train', or in on_step_end.",
        )


def _require_nothing_learnt(reward: TokenReward, before: Values, after: Values) -> None:
    require(
        all(torch.equal(a, b) for a, b in zip(before, after, strict=True)),
        f"{type(reward).__name__}: its values change with what it is asked in training, but it has "
        "no state_dict and load_state_dict: --resume would begin its learning anew.",
    )


def _require_same(
    first: TokenReward, second: TokenReward, examples: Sequence[Example], when: str
) -> None:
    require_equal(
        _ask(first, examples, "statistics"),
        _ask(second, examples, "statistics"),
        [f"{type(first).__name__}, {place(example)}" for example in examples],
        f"The instance that was resumed says something else {when}: is something missing in "
        "state_dict?",
    )


def _through_a_file(reward: TokenReward) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        write_states(Path(folder), 0, {"reward": reward.state_dict()})
        read = read_states(Path(folder), 0)
    assert read is not None
    return read["reward"]


def _step(reward: TokenReward, examples: Sequence[Example], step: int) -> None:
    _ask(reward, examples, "train")
    reward.on_step_end(step)


def _ask(reward: TokenReward, examples: Sequence[Example], phase: Phase) -> Values:
    reward.phase = phase
    return asked(reward, list(examples))
