"""What a run asks of whole next-token distributions: the policy's at a step, the reference's once.

The reference's side is scored beforehand and stored: entropy and top tokens as they are; for what
compares two distributions the hidden states that its head turns into logits, since [N, V]
log-probs would not fit any disk. Its head, [V, D], is what stays in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tgdpo_core.engine.distribution import Asked, ReferenceHead
from tgdpo_core.engine.quantities import Over, quantity
from tgdpo_core.engine.tiles import largest_tile, parts_of
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.needs import COMPARISONS, VOCABULARY, of_policy, of_reference
from tgdpo_core.scoring.guard import call_often
from tgdpo_core.scoring.loss_choice import loss_name
from tgdpo_core.scoring.sources import RewardSource

HIDDEN = "hidden"
"""Name of the reference's hidden states among stored quantities."""


@dataclass(frozen=True)
class OverVocabulary:
    """A plugin's own function of distributions.

    Attributes:
        who: how messages name the plugin.
        key: keeps its values apart from those of others.
        function: the plugin's.
    """

    who: str
    key: str
    function: Over

    def __call__(
        self, log_p: torch.Tensor, log_q: torch.Tensor | None
    ) -> Mapping[str, torch.Tensor]:
        """Return the values by key and name, checked."""
        where = "its function over the vocabulary"
        found = call_often(self.who, where, self.function, log_p, log_q)
        if not isinstance(found, Mapping) or not found:
            raise PluginError(
                f"{self.who}, {where}: expected tensors by name, got {type(found).__name__}."
            )
        return {f"{self.key}{name}": self._checked(name, v, log_p) for name, v in found.items()}

    def _checked(self, name: str, values: Any, log_p: torch.Tensor) -> torch.Tensor:
        is_tensor = isinstance(values, torch.Tensor)
        if not is_tensor or values.dim() not in (1, 2) or len(values) != len(log_p):
            shape = list(values.shape) if is_tensor else type(values).__name__
            raise PluginError(
                f"{self.who}, its function over the vocabulary: '{name}' is {shape} for "
                f"{len(log_p)} tokens; expected [n] or [n, k]."
            )
        if values.device != log_p.device or values.is_complex():
            raise PluginError(
                f"{self.who}, its function over the vocabulary: '{name}' must be real and on "
                f"{log_p.device}."
            )
        return values


def own_values(plugin: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plugin may see of all values: what it needs, and what its function gave.

    Args:
        plugin: a ``TokenReward`` or a ``Loss``.
        values: of all plugins.
    """
    named = [name for need in of_policy(plugin.required()) for name in value_names(need)]
    found = {name: values[name] for name in named if name in values}
    own = _key(plugin)
    return found | {k.removeprefix(own): v for k, v in values.items() if k.startswith(own)}


def _key(plugin: Any) -> str:
    return f"{id(plugin):x}\0"


def value_names(need: str) -> tuple[str, ...]:
    """Return the names of the values that a need stands for."""
    kind, _, size = need.partition(":")
    return (need, f"{kind}_ids:{size}") if size else (need,)


@dataclass(frozen=True)
class Distribution:
    """What the plugins of a run ask.

    Attributes:
        names: quantities of the engine.
        functions: the plugins' own.
        head: loads the reference's head, once; called where distributions are compared.
        of_reference: what stored sources need of the reference.
        asking: how messages name the plugins that ask for a quantity.
    """

    names: tuple[str, ...]
    functions: tuple[OverVocabulary, ...]
    head: Callable[[], ReferenceHead]
    of_reference: tuple[str, ...] = ()
    asking: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_asked(self) -> bool:
        """Whether anything is asked at every step."""
        return bool(self.names or self.functions)

    @property
    def compares(self) -> bool:
        """Whether the reference's distribution is needed, too."""
        return bool(self.functions) or any(name in COMPARISONS for name in self.names)

    @property
    def stored(self) -> list[str]:
        """What is stored of the reference, in a fixed order."""
        alone = {name for name in self.names if name not in COMPARISONS}
        alone |= {_of_policy_form(name) for name in self.of_reference}
        return [*sorted(alone), *([HIDDEN] if self.compares else [])]

    def width(self, name: str) -> int:
        """Return how many values a stored quantity has for each token."""
        if name == HIDDEN:
            return int(self.head().weight.shape[1])
        return 2 * int(name.partition(":")[2]) if ":" in name else 1

    def functions_of_row(self) -> list[Over]:
        """Return the functions of a row's distributions, those of names and the plugins' own."""
        return [*map(self.quantity, self.names), *self.functions]

    def quantity(self, name: str) -> Over:
        """Return the function of a quantity; its errors name the plugins that ask for it."""
        return quantity(name, self.asking.get(name, "a plugin"))

    def made_by_functions(self, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return what the plugins' own functions gave, [N] or [N, k], by how messages name it.

        Args:
            values: of all plugins.
        """
        return {
            f"'{name.removeprefix(function.key)}' of over_vocabulary of {function.who}": value
            for function in self.functions
            for name, value in values.items()
            if name.startswith(function.key)
        }

    def of_row(self, hidden: torch.Tensor | None, device: torch.device) -> Asked:
        """Return what is asked of a row.

        Args:
            hidden: of the reference, [N, D'], where distributions are compared.
            device: of the row.
        """
        functions = self.functions_of_row()
        if not self.compares:
            return Asked(functions)
        return Asked(functions, hidden, self.head().to(device))

    def at_start(self, stored: Mapping[str, torch.Tensor], num_tokens: int) -> dict[str, Any]:
        """Return the values of a policy that equals the reference.

        Args:
            stored: of the reference, by name of quantity.
            num_tokens: of the pair.
        """
        values: dict[str, Any] = {}
        for name in self.names:
            if name in COMPARISONS:
                values[name] = torch.zeros(num_tokens)
            else:
                values |= named_values(name, stored[name])
        return values | self._of_functions(stored.get(HIDDEN))

    def _of_functions(self, hidden: torch.Tensor | None) -> dict[str, torch.Tensor]:
        if hidden is None or not self.functions:
            return {}
        head = self.head()
        parts: list[dict[str, torch.Tensor]] = []
        with torch.no_grad():
            size = max(1, largest_tile("cpu") // len(head.weight))
            for part in parts_of(max(1, len(hidden)), size):
                log_p = head.log_probs(hidden[part].to(head.weight.device), head.weight.dtype)
                parts.append(
                    {k: v.cpu() for f in self.functions for k, v in f(log_p, log_p).items()}
                )
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def by_token(stored: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """Return flat stored values as [n, k]."""
    return stored.view(num_tokens, len(stored) // max(1, num_tokens))


def named_values(name: str, stored: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return values of the reference by the names that they have of the policy.

    Args:
        name: of the quantity.
        stored: [n, k], as they were stored.
    """
    if not name.startswith("policy_top:"):
        return {name: stored.flatten()}
    logps, ids = stored.chunk(2, dim=1)
    return dict(zip(value_names(name), (logps, ids.long()), strict=True))


def distribution_of(
    sources: Sequence[RewardSource],
    loss: tuple[str, Loss] | None,
    head: Callable[[], ReferenceHead],
) -> Distribution:
    """Return what the reward sources and the loss of a run ask together."""
    asking: list[tuple[str, Sequence[str], Any]] = [
        (str(s), s.reward.required(), s.reward) for s in sources
    ]
    if loss:
        asking.append((loss_name(loss), loss[1].required(), loss[1]))
    needs = [need for _, required, _ in asking for need in of_policy(required)]
    functions = tuple(
        OverVocabulary(who, _key(plugin), plugin.over_vocabulary)
        for who, required, plugin in asking
        if VOCABULARY in required
    )
    names = tuple(sorted({need for need in needs if need != VOCABULARY}))
    of_ref = {need for _, required, _ in asking for need in of_reference(required)}
    whose: dict[str, list[str]] = {}
    for who, required, _ in asking:
        for need in (*of_policy(required), *of_reference(required)):
            whose.setdefault(_of_policy_form(need), []).append(who)
    said = {name: " and ".join(all_of_it) for name, all_of_it in whose.items()}
    return Distribution(names, functions, head, tuple(sorted(of_ref)), said)


def _of_policy_form(need: str) -> str:
    """Return the name of a quantity of the reference as one of the policy has it."""
    return need.replace("reference_", "policy_", 1)
