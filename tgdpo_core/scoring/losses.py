"""A loss plugin at work: found by name, asked about a row, its answer checked."""

from collections.abc import Mapping
from typing import Any

import torch

from tgdpo_core.engine.losses import PairLosses, PairTerms
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.needs import KNOWN, of_policy
from tgdpo_core.scoring.distribution import loss_name
from tgdpo_core.scoring.guard import call_often
from tgdpo_core.scoring.process_state import settings_kept_by

_SHARED = {"label_smoothing": 0.0, "simpo_gamma": 0.5}
"""Settings of a recipe's section ``loss`` that are options of a loss, and their defaults."""


def resolve_loss(
    name: str, plugins: PluginManager, args: Mapping[str, Any] | None = None, **shared: float
) -> tuple[str, Loss]:
    """Return a loss with its name.

    Args:
        name: as registered.
        plugins: where it is found.
        args: its options.
        shared: ``label_smoothing`` and ``simpo_gamma`` of the recipe; options of the losses that
            have them, refused where they would change nothing.

    Raises:
        PluginError: unknown name, options that do not fit, or needs that nobody knows.
    """
    if not plugins.names("loss"):
        raise PluginError(
            "No loss is registered, not even the built-in ones: the installed metadata of tgdpo is "
            "older than its code. Install it again: pip install -e . in the checkout."
        )
    found = plugins.find("loss", name)
    options = dict(args or {})
    known = set(getattr(found.factory, "__dataclass_fields__", {}))
    for key, value in shared.items():
        if key in options and value != _SHARED[key]:
            raise PluginError(f"loss.{key} and loss.args.{key} are both given; keep one.")
        if key in known:
            options.setdefault(key, value)
        elif value != _SHARED[key]:
            raise PluginError(
                f"{key} has no meaning for the loss '{name}'; set it to {_SHARED[key]:g}."
            )
    return checked_loss(name, found.create(options), str(found))


def checked_loss(name: str, loss: Any, who: str = "") -> tuple[str, Loss]:
    """Return a loss with its name; ``PluginError`` where it is none or needs what nobody knows."""
    who = who or loss_name(name)
    if not isinstance(loss, Loss):
        raise PluginError(f"{who}: {type(loss).__name__} is no Loss.")
    try:
        needs = tuple(loss.required())
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{who} failed to say what it requires: {type(error).__name__}: {error}"
        ) from error
    unknown = sorted(set(needs) - set(of_policy(needs)))
    if unknown:
        raise PluginError(f"{who} needs '{unknown[0]}', unknown here. Known: {', '.join(KNOWN)}.")
    return name, loss


def describe(loss: tuple[str, Loss]) -> dict[str, Any]:
    """Return JSON for run.json and the identity of a run."""
    return {
        "name": loss[0],
        "class": f"{type(loss[1]).__module__}.{type(loss[1]).__qualname__}",
        "options": loss[1].options(),
        "needs": list(loss[1].required()),
    }


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
