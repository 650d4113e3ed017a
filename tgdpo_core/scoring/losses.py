"""A loss plugin at work: asked about a row, its answer checked."""

from typing import Any

import torch

from tgdpo_core.engine.losses import PairLosses, PairTerms
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.scoring.guard import call_often
from tgdpo_core.scoring.loss_choice import loss_name
from tgdpo_core.scoring.process_state import settings_kept_by


class LossDoor:
    """Calls the loss of a run and checks what it returns.

    The settings of the process are looked at around its first call; a look at every one would take
    longer than most losses.
    """

    def __init__(self, loss: tuple[str, Loss]) -> None:
        self._name, self._loss = loss
        self._who = loss_name(self._name)
        self._is_first = True
        self.metric_names: tuple[str, ...] | None = None

    def __call__(self, pairs: PairTerms, where: str) -> tuple[PairLosses, torch.Tensor]:
        """Return the losses of a row's pairs, and their metrics [P, M].

        Args:
            pairs: what the loss is given.
            where: the rows, for messages.

        Raises:
            PluginError: it raised, or returned no differentiable [P] values.
        """
        if self._is_first:
            with settings_kept_by(f"{self._who}, {where}"):
                found = call_often(self._who, where, self._loss, pairs)
            self._is_first = False
        else:
            found = call_often(self._who, where, self._loss, pairs)
        result = found if isinstance(found, PairLosses) else PairLosses(found)
        self._check(result.losses, "the losses", pairs, where)
        if result.margins is not None:
            self._check(result.margins, "the margins", pairs, where)
        if pairs.policy_logps.requires_grad and not result.losses.requires_grad:
            raise PluginError(
                f"{self._who}, {where}: the losses carry no gradient. Make them of "
                "pairs.policy_logps, without detach, no_grad or conversion to numbers."
            )
        return result, self._metrics(result, pairs, where)

    def _check(self, values: Any, what: str, pairs: PairTerms, where: str) -> None:
        is_tensor = isinstance(values, torch.Tensor)
        if not is_tensor or values.shape != (pairs.num_pairs,) or not values.is_floating_point():
            found = f"{values.dtype} {list(values.shape)}" if is_tensor else type(values).__name__
            raise PluginError(
                f"{self._who}, {where}: {what} are {found}; expected one number for each of "
                f"{pairs.num_pairs} pairs, a tensor of shape [{pairs.num_pairs}]."
            )

    def _metrics(self, result: PairLosses, pairs: PairTerms, where: str) -> torch.Tensor:
        names = tuple(result.metrics)
        if self.metric_names is None:
            self.metric_names = names
        if names != self.metric_names:
            raise PluginError(
                f"{self._who}, {where}: its metrics are {', '.join(names) or 'none'}, and were "
                f"{', '.join(self.metric_names) or 'none'}; they must be the same for every row."
            )
        for name, values in result.metrics.items():
            self._check(values, f"the metric '{name}'", pairs, where)
        columns = [values.detach().double() for values in result.metrics.values()]
        shape = pairs.num_pairs, 0
        empty = pairs.weights.new_empty(shape, dtype=torch.float64)
        return torch.stack(columns, 1) if columns else empty
