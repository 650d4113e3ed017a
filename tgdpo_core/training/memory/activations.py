"""What decoder layers hold for a row: computed on tensors that have a size and no numbers.

One layer and two are run forward and backward; what the second one adds, every further one adds.
Every model of transformers can be asked this way, and no memory is taken. Attention counts as one
kernel that keeps no scores.
"""

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from tgdpo_core.progress import stage
from tgdpo_core.training.memory.parts import Activations, Weight


class UnknownMemoryError(Exception):
    """A model that cannot be computed on tensors without numbers."""


Make = Callable[[Any], Any]
"""Returns the model of a config, with its adapter, on the meta device."""


@dataclass(frozen=True)
class _Run:
    """Bytes at the end of the forward pass, and at most in each pass."""

    kept: int
    forward: int
    backward: int


def activations_of(
    config: Any,
    make: Make,
    count: Callable[[Any], list[Weight]],
    *,
    tokens: int,
    autocast: torch.dtype | None,
    checkpointing: bool,
) -> Activations:
    """Return what all decoder layers hold for a row.

    Args:
        config: of the model.
        make: see ``Make``.
        count: returns the tensors of a model.
        tokens: of the row.
        autocast: dtype of mixed precision, or None.
        checkpointing: layers are computed again in the backward pass.

    Raises:
        UnknownMemoryError: the layers need numbers.
    """
    layers = config.get_text_config().num_hidden_layers
    runs, copies = [], []
    with stage("memory of a step", 2, "pass") as bar:
        for number in (1, min(2, layers)):
            with torch.device("meta"):
                model = make(_with_layers(config, number))
            is_kept = autocast is not None and not checkpointing
            weights = count(model) if is_kept else []
            copies.append(sum(2 * w.numel for w in weights if w.is_product and w.itemsize == 4))
            runs.append(_sized_run(model, tokens, autocast, checkpointing))
            bar.update()
    one, two = runs
    kept = one.kept + (layers - 1) * (two.kept - one.kept)
    kept -= copies[0] + (layers - 1) * (copies[1] - copies[0])
    return Activations(
        kept=max(0, kept),
        forward=max(0, one.forward - one.kept),
        backward=max(0, one.backward - one.kept),
    )


def _sized_run(model: Any, tokens: int, autocast: torch.dtype | None, checkpointing: bool) -> _Run:
    """Return what a pass of a model without numbers holds; see ``activations_of``."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            _give_sizes(model)
            return _run(model, tokens, autocast, checkpointing)
    # Any model may end up here, with any error of its own.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
        raise UnknownMemoryError(f"its layers cannot be run without numbers ({reason})") from error


def _give_sizes(model: Any) -> None:
    """Put tensors with a size and no numbers in the place of those of the meta device."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, tensor in list(module._parameters.items()):
            if tensor is not None:
                is_trained = tensor.requires_grad
                empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                made.setdefault(id(tensor), torch.nn.Parameter(empty, requires_grad=is_trained))
                module._parameters[name] = made[id(tensor)]
        for name, tensor in list(module._buffers.items()):
            if tensor is not None:
                module._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype)


def _run(model: Any, tokens: int, autocast: torch.dtype | None, checkpointing: bool) -> _Run:
    """Return what one pass forward and back over a row holds."""
    if checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:  # those of the row before
        weight.grad = torch.zeros_like(weight)
    width = model.config.get_text_config().hidden_size
    is_all = len(trained) == len(list(model.parameters()))
    positions = torch.arange(tokens)[None]
    kind = torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None)
    decoder = model.get_decoder()
    with LiveBytes() as live:
        inputs = torch.zeros(1, tokens, width, dtype=model.dtype)
        inputs.requires_grad_(is_all or checkpointing)
        with kind:
            out = decoder(inputs_embeds=inputs, position_ids=positions, use_cache=False)
            hidden = out.last_hidden_state
            del out
        kept, forward = live.now, live.most
        live.most = live.now
        hidden.backward(torch.ones_like(hidden))
        return _Run(kept, forward, live.most)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that were made within and still exist.

    Attributes:
        now: at this moment.
        most: at most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operator and count what it made."""
        given = {_address(each) for each in tree_iter((args, kwargs)) if _is_tensor(each)}
        result = func(*args, **(kwargs or {}))
        for each in tree_iter(result):
            if _is_tensor(each) and _address(each) not in given:
                self._add(each)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address in self._known:
            return
        self._known.add(address)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, address, size)

    def _remove(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _with_layers(config: Any, number: int) -> Any:
    """Return a config with fewer decoder layers."""
    smaller = copy.deepcopy(config)
    text = smaller.get_text_config()
    text.num_hidden_layers = number
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:number]
    return smaller
