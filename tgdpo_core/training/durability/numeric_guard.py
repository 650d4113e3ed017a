"""Numbers that are not finite: found before the update, kept for a look, never saved."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from tgdpo_core.training.batches import PairBatch
from tgdpo_core.training.durability.free_space import local, plain_parts

_SHOWN = 5


@dataclass(frozen=True)
class PluginNumbers:
    """What plugins made of a row beside its losses, by how messages name it.

    Attributes:
        loss: the name of the loss; empty for a built-in one.
        reported: [P] each, of the loss plugin; they are logged, so they must be finite.
        of_functions: [N] or [N, k] each, of functions of whole distributions; they need not be
            finite, but a NaN there explains one in a gradient.
    """

    loss: str = ""
    reported: Mapping[str, torch.Tensor] = field(default_factory=dict)
    of_functions: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def detached(self) -> "PluginNumbers":
        """Return the same numbers without their gradients."""
        reported, made = (
            {name: values.detach() for name, values in each.items()}
            for each in (self.reported, self.of_functions)
        )
        return PluginNumbers(self.loss, reported, made)


class RowPart(NamedTuple):
    """A row of the step and what came out of it.

    Attributes:
        batch: the pairs.
        policy_logps: [N] log pi of the response tokens.
        losses: [P] a pair's loss each.
        of_plugins: what plugins made of it.
    """

    batch: PairBatch
    policy_logps: torch.Tensor
    losses: torch.Tensor
    of_plugins: PluginNumbers

    @property
    def must_be_finite(self) -> list[torch.Tensor]:
        """What the run must not go on with."""
        return [self.losses, *self.of_plugins.reported.values()]


class StepNumbers:
    """The rows of the step that goes on, until they are known to be finite.

    Args:
        folder: where a bad step is kept (``failure/`` of the run folder).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[RowPart] = []

    def add(
        self,
        batch: PairBatch,
        policy_logps: torch.Tensor,
        losses: torch.Tensor,
        of_plugins: PluginNumbers,
    ) -> None:
        """Keep a row; nothing is copied off the device."""
        self._parts.append(
            RowPart(batch, policy_logps.detach(), losses.detach(), of_plugins.detached())
        )

    def clear(self) -> None:
        """Forget the rows."""
        self._parts = []

    def finite(self, device: torch.device) -> torch.Tensor:
        """Return [] bool on the device, whether all losses are finite; nobody waits for it.

        So must be what a loss reports beside them.
        """
        found = [each.isfinite().all() for part in self._parts for each in part.must_be_finite]
        return torch.stack(found).all() if found else torch.full((), True, device=device)

    def bad_loss(self, step: int, then: str) -> str | None:
        """Return sentences about the first loss that is not finite; None if all are.

        It reads every row: call it when ``finite`` was found to be false in some process.

        Args:
            step: optimizer steps done.
            then: what happens now.
        """
        bad = (p for p in self._parts if not bool(p.losses.isfinite().all()))
        part = next(bad, None)
        if part is None:
            return self._bad_report(step, then)
        first = _first(~part.losses.isfinite())
        weights = part.batch.weights
        return (
            f"The loss of {part.batch.where[first]} is {part.losses[first].item()} at step {step}; "
            f"{then}. Token weights of the batch: {weights.min().item():.3g} to "
            f"{weights.max().item():.3g}. {self.suspect() or _cause(part)}"
        )

    def _bad_report(self, step: int, then: str) -> str | None:
        """Return sentences about the first number beside a loss that is not finite."""
        for part in self._parts:
            for what, values in part.of_plugins.reported.items():
                bad = ~values.isfinite()
                if bool(bad.any()):
                    first = _first(bad)
                    return (
                        f"{what} is {values[first].item()} for {part.batch.where[first]} at step "
                        f"{step}; {then}. It is logged, so it must be finite for every pair."
                    )
        return None

    def suspect(self) -> str:
        """Return a sentence about a NaN among what plugins made of whole distributions, or nothing.

        It need not show in a loss, and the gradient is NaN all the same.
        """
        for part in self._parts:
            for what, values in part.of_plugins.of_functions.items():
                bad = values.isnan().flatten(1).any(1) if values.dim() > 1 else values.isnan()
                if bool(bad.any()):
                    pair = int(part.batch.row.pair_ids[_first(bad)])
                    return f"NaN is {what}, for {part.batch.where[pair]}: look there first."
        return ""

    def keep(self, step: int, rank: int, reason: str, model: torch.nn.Module) -> Path:
        """Write the rows of the step to the run folder and return where.

        ``rank-R.json`` says which rows with which losses, and which parameters and gradients are
        not finite; ``rank-R.safetensors`` has ids, log-probs, rewards and weights per token.
        """
        place = self._folder / f"step-{step}"
        place.mkdir(parents=True, exist_ok=True)
        document = {
            "step": step,
            "reason": reason,
            "rows": [
                {"row": i, "where": where, "loss": repr(loss)}
                for i, part in enumerate(self._parts)
                for where, loss in zip(part.batch.where, part.losses.tolist(), strict=True)
            ],
            "parameters": bad_parameters(model),
            "gradients": bad_gradients(model),
        }
        (place / f"rank-{rank}.json").write_text(json.dumps(document, indent=1) + "\n")
        tensors = {
            f"{i}.{name}": value.cpu().contiguous()
            for i, part in enumerate(self._parts)
            for name, value in _tensors(part).items()
        }
        if tensors:
            save_file(tensors, place / f"rank-{rank}.safetensors")
        return place


def bad_parameters(model: torch.nn.Module) -> list[str]:
    """Return the names of parameters that are not finite in this process."""
    return _bad(model.named_parameters())


def bad_gradients(model: torch.nn.Module) -> list[str]:
    """Return the names of parameters whose gradient is not finite in this process."""
    return _bad((n, p.grad) for n, p in model.named_parameters() if p.grad is not None)


def bad_states(optimizer: Any) -> list[str]:
    """Return the names of optimizer states that are not finite in this process."""
    states = enumerate(optimizer.state.values()) if optimizer is not None else ()
    return _bad(
        (f"{name} of parameter {i}", part)
        for i, state in states
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
        for part in plain_parts(value)
        if part.is_floating_point()
    )


def shown(names: Sequence[str]) -> str:
    """Return the first names, and how many there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _bad(named: Iterator[tuple[str, Any]]) -> list[str]:
    items = [(name, local(value.detach())) for name, value in named]
    if not items:
        return []
    bad = []
    for device in {value.device for _, value in items}:
        there = [(name, value) for name, value in items if value.device == device]
        # One look at the device for all of them.
        finite = torch.stack([value.isfinite().all() for _, value in there]).tolist()
        bad += [name for (name, _), is_finite in zip(there, finite, strict=True) if not is_finite]
    return bad


def _first(bad: torch.Tensor) -> int:
    return int(torch.nonzero(bad).flatten()[0])


def _cause(part: RowPart) -> str:
    """Return where to look: at a loss plugin that was given nothing but finite numbers, say."""
    given = (part.policy_logps, part.batch.reference_logps, part.batch.weights)
    if part.of_plugins.loss and all(bool(values.isfinite().all()) for values in given):
        return (
            f"All log-probs and weights that {part.of_plugins.loss} was given are finite: look at "
            "what it makes of them."
        )
    return "Look at the learning rate, beta and the token rewards."


def _tensors(part: RowPart) -> dict[str, torch.Tensor]:
    batch, row = part.batch, part.batch.row
    return {
        "losses": part.losses,
        "policy_logps": part.policy_logps,
        "reference_logps": batch.reference_logps,
        "token_rewards": batch.token_rewards,
        "weights": batch.weights,
        "pair_ids": row.pair_ids,
        "is_chosen": row.is_chosen,
        "input_ids": row.input_ids,
    }
