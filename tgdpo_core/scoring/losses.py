"""A loss plugin at work: asked about a row, its answer checked."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from tgdpo_core.engine.losses import PairLosses, PairTerms
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.scoring.graphs import reaches
from tgdpo_core.scoring.guard import call_often
from tgdpo_core.scoring.loss_choice import loss_name
from tgdpo_core.scoring.process_state import settings_kept_by

_GIVEN = ("policy_logps", "reference_logps", "weights", "pair_ids", "is_chosen")


class LossDoor:
    """Calls the loss of a run and checks what it returns.

    The settings of the process, and whether gradients come to the policy, are looked at around its
    first call; a look at every one would take longer than most losses.
    """

    def __init__(self, loss: tuple[str, Loss]) -> None:
        self._loss = loss[1]
        self._who = loss_name(loss)
        self._is_first = True
        self._is_connected = False
        self.gives_margins = False
        self.metric_names: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """How messages name the loss."""
        return self._who

    def __call__(self, pairs: PairTerms, where: str) -> tuple[PairLosses, torch.Tensor]:
        """Return the losses of a row's pairs, and their metrics [P, M].

        Args:
            pairs: what the loss is given: copies of it, as it is logged afterwards.
            where: the rows, for messages.

        Raises:
            PluginError: it raised, changed what it was given, or returned no [P] values that are
                differentiable in the policy's log-probs.
        """
        given = dataclasses.replace(
            pairs, **{name: getattr(pairs, name).clone() for name in _GIVEN}
        )
        before = list(_versions(given))
        result = self._asked(given, where)
        for (name, was), (_, now) in zip(before, _versions(given), strict=True):
            if was != now:
                raise PluginError(
                    f"{self._who}, {where}: it changed pairs.{name} in place. Others are given the "
                    "same: work on a copy (pairs.weights.clone()), or without in-place operations."
                )
        self._check(result.losses, "the losses", pairs, where)
        self.gives_margins = result.margins is not None
        if result.margins is not None:
            self._check(result.margins, "the margins", pairs, where)
        if pairs.policy_logps.requires_grad:
            self._require_gradient(result.losses, given, where)
        return result, self._metrics(result, pairs, where)

    def _asked(self, given: PairTerms, where: str) -> PairLosses:
        """Return what the loss gives for a row."""
        if self._is_first:
            with settings_kept_by(f"{self._who}, {where}"):
                found = self._watched(given, where)
            self._is_first = False
        else:
            found = call_often(self._who, where, self._loss, given)
        return found if isinstance(found, PairLosses) else PairLosses(found)

    def _watched(self, given: PairTerms, where: str) -> Any:
        """Return what the loss gives; ``PluginError`` if it sends gradients off itself."""
        if not given.policy_logps.requires_grad:
            return call_often(self._who, where, self._loss, given)
        sent: list[bool] = []
        hook = given.policy_logps.register_hook(lambda _: sent.append(True))
        found = call_often(self._who, where, self._loss, given)
        hook.remove()
        if sent:
            raise PluginError(
                f"{self._who}, {where}: it ran backward() itself, so that the policy would get its "
                "gradient twice. Return the losses; torch.autograd.grad(.., retain_graph=True) "
                "gives gradients that go nowhere else."
            )
        return found

    def _require_gradient(self, losses: torch.Tensor, given: PairTerms, where: str) -> None:
        """Raise ``PluginError`` for losses from which no gradient comes to the policy."""
        if not losses.requires_grad:
            raise PluginError(
                f"{self._who}, {where}: the losses carry no gradient. Make them of "
                "pairs.policy_logps, without detach, no_grad or conversion to numbers."
            )
        if not self._is_connected:
            if not reaches(losses, [given.policy_logps, *given.values.values()]):
                raise PluginError(
                    f"{self._who}, {where}: the losses do not depend on the policy, which would "
                    "learn nothing. Make them of pairs.policy_logps or of pairs.values."
                )
            self._is_connected = True

    def _check(self, values: Any, what: str, pairs: PairTerms, where: str) -> None:
        is_tensor = isinstance(values, torch.Tensor)
        if not is_tensor or values.shape != (pairs.num_pairs,) or not values.is_floating_point():
            found = f"{values.dtype} {list(values.shape)}" if is_tensor else type(values).__name__
            raise PluginError(
                f"{self._who}, {where}: {what} are {found}; expected one number for each of "
                f"{pairs.num_pairs} pairs, a tensor of shape [{pairs.num_pairs}]."
            )

    def _metrics(self, result: PairLosses, pairs: PairTerms, where: str) -> torch.Tensor:
        names = self._names(result.metrics, where)
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

    def _names(self, metrics: Any, where: str) -> tuple[str, ...]:
        """Return the names of metrics; ``PluginError`` unless they are tensors by name."""
        if not isinstance(metrics, Mapping):
            raise PluginError(
                f"{self._who}, {where}: its metrics are {type(metrics).__name__}; give a dict of "
                "tensors by name, or leave them out."
            )
        for name in metrics:
            if not isinstance(name, str) or not name.isprintable() or not name:
                raise PluginError(
                    f"{self._who}, {where}: {name!r} is no name of a metric: use text on one line."
                )
        return tuple(metrics)


def _versions(given: PairTerms) -> Iterator[tuple[str, int]]:
    """Yield the name of every tensor that a loss is given, and how often it was written to."""
    tensors = {name: getattr(given, name) for name in _GIVEN}
    tensors |= {f"values[{name!r}]": value for name, value in given.values.items()}
    for name, tensor in tensors.items():
        yield name, 0 if tensor.is_inference() else tensor._version
