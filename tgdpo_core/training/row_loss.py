"""The loss of a row: what the policy says of its tokens, and what the loss plugin makes of it."""

from collections.abc import Mapping
from typing import Any

import torch

from tgdpo_core.engine.losses import PairTerms, PreferenceLoss, with_rewards
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.scoring.distribution import Distribution, own_values
from tgdpo_core.scoring.losses import LossDoor
from tgdpo_core.scoring.origins import is_built_in
from tgdpo_core.training.batches import PairBatch
from tgdpo_core.training.durability.numeric_guard import PluginNumbers


class RowLoss:
    """Asks the policy and the loss.

    Args:
        loss: the plugin with its name.
        beta: of the run.
        distribution: what the plugins of the run ask of whole distributions.
    """

    def __init__(self, loss: tuple[str, Loss], beta: float, distribution: Distribution) -> None:
        self._plugin = loss[1]
        self._door = LossDoor(loss)
        self._beta = beta
        self._distribution = distribution

    def policy(self, model: Any, batch: PairBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return log pi of the row's response tokens, [N], and what else is asked, by name.

        The model is called once, through itself, so that the hooks of DDP and FSDP fire.
        """
        if not self._distribution.is_asked:
            return model(row=batch.row), {}
        device = batch.row.input_ids.device
        asked = self._distribution.of_row(batch.reference_hidden, device)
        found: tuple[torch.Tensor, dict[str, torch.Tensor]] = model(row=batch.row, asked=asked)
        return found

    def __call__(
        self,
        batch: PairBatch,
        policy_logps: torch.Tensor,
        values: Mapping[str, torch.Tensor],
    ) -> tuple[PreferenceLoss, torch.Tensor]:
        """Return the losses of the row's pairs, and the plugin's metrics [P, M]."""
        row = batch.row
        pairs = PairTerms(
            policy_logps=policy_logps,
            reference_logps=batch.reference_logps,
            weights=batch.weights,
            pair_ids=row.pair_ids,
            is_chosen=row.is_chosen,
            num_pairs=row.num_pairs,
            beta=self._beta,
            values=own_values(self._plugin, values),
        )
        found, metrics = self._door(pairs, batch.where[0])
        return with_rewards(pairs, found), metrics

    def numbers(
        self, loss: PreferenceLoss, metrics: torch.Tensor, values: Mapping[str, torch.Tensor]
    ) -> PluginNumbers:
        """Return what plugins made of a row beside its losses, by how messages name it.

        Args:
            loss: of the row.
            metrics: of the loss plugin, [P, M].
            values: what else was asked of the policy.
        """
        names = self._door.metric_names or ()
        reported = {
            f"The metric '{name}' of {self._door}": column
            for name, column in zip(names, metrics.unbind(1), strict=True)
        }
        if self._door.gives_margins:
            reported[f"The margin that {self._door} returned"] = loss.margins
        return PluginNumbers(
            loss="" if is_built_in(self._plugin) else str(self._door),
            reported=reported,
            of_functions=self._distribution.made_by_functions(values),
        )

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the plugin's metrics; known once it was called."""
        return tuple(f"loss/{name}" for name in self._door.metric_names or ())
