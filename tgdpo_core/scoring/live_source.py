"""A dynamic source at work: set up once, asked in a phase, and, where it learns, its state kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tgdpo_core.data.pairs import TokenizedPair
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Phase
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.metric_sums import Sums
from tgdpo_core.scoring.passes import ask
from tgdpo_core.scoring.reward_state import State, copied, digest
from tgdpo_core.scoring.weights import WeightedSource


class LiveSource:
    """A dynamic source, from the first question about it to the end of the run.

    What it has learnt outlives ``close``: set up again, it goes on from there.

    Args:
        weighted: the source, with its scale and transforms.
        make_context: makes what its ``setup`` is given.
    """

    def __init__(
        self, weighted: WeightedSource, make_context: Callable[[WeightedSource], FrozenModels]
    ) -> None:
        self.weighted = weighted
        self._make_context = make_context
        self._context: FrozenModels | None = None
        self._kept: State | None = None
        self._settled = ""  # digest of the state when the last training step was over

    def __str__(self) -> str:
        """How messages name it."""
        return str(self.weighted.source)

    @property
    def is_stateful(self) -> bool:
        """Whether it learns."""
        return self.weighted.source.is_stateful

    def ask(
        self,
        pairs: Sequence[TokenizedPair],
        shared: Mapping[str, Sequence[torch.Tensor]],
        phase: Phase,
    ) -> Sequence[torch.Tensor]:
        """Return its raw values of pairs, [n] float32 each, chosen tokens first.

        Raises:
            PluginError: it failed, or it has learnt from what it was asked outside of training.
        """
        self._set_up()
        reward = self.weighted.source.reward
        if self.is_stateful and phase != reward.phase:
            self._change_phase(phase)
        reward.phase = phase
        once = self.is_stateful and phase == "train"
        return ask(self.weighted.source, pairs, shared, once=once)

    def end_step(self, step: int) -> None:
        """Tell it that an optimizer step is done."""
        if self.is_stateful:
            self._set_up()
            call_plugin(str(self), f"step {step}", self.weighted.source.reward.on_step_end, step)

    def state(self) -> State:
        """Return a copy of what it has learnt.

        Raises:
            PluginError: its ``state_dict`` failed, or holds what cannot be saved.
        """
        self._set_up()
        found = call_plugin(str(self), "state_dict", self.weighted.source.reward.state_dict)
        if not isinstance(found, Mapping):
            raise PluginError(f"{self}: state_dict must return a dict, got {type(found).__name__}.")
        copy: State = call_plugin(str(self), "state_dict", copied, found)
        return copy

    def load(self, state: State) -> None:
        """Have it take up a state."""
        self._set_up()
        reward = self.weighted.source.reward
        call_plugin(str(self), "load_state_dict", reward.load_state_dict, copied(state))
        self._settled = self._digest()

    def pop_metrics(self) -> Sums:
        """Return what it has logged since the last call."""
        return self._context.metrics.pop(self.weighted.source.name) if self._context else {}

    def close(self) -> None:
        """Free what it loaded; a later question sets it up again."""
        if self._context is None:
            return
        if self.is_stateful:
            self._kept = self.state()
        call_plugin(str(self), "teardown", self.weighted.source.reward.teardown)
        self._context.release()
        self._context = None

    def _set_up(self) -> None:
        if self._context is not None:
            return
        self._context = self._make_context(self.weighted)
        call_plugin(str(self), "setup", self.weighted.source.reward.setup, self._context)
        if self.is_stateful:
            if self._kept is not None:
                self.load(self._kept)
            self._settled = self._digest()

    def _change_phase(self, phase: Phase) -> None:
        before = self.weighted.source.reward.phase
        now = self._digest()
        if before == "train":
            self._settled = now
        elif now != self._settled:
            raise PluginError(
                f"{self}: its state changed while it was asked in the phase '{before}'. Learn only "
                "where self.phase is 'train', or in on_step_end: statistics and evaluations must "
                "not change a run."
            )

    def _digest(self) -> str:
        state: Any = self.state()
        return str(call_plugin(str(self), "state_dict", digest, state))
