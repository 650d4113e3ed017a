"""Which tensors the gradient of a result comes to, found without computing it."""

from collections.abc import Sequence
from typing import Any

import torch


def reaches(result: torch.Tensor, inputs: Sequence[torch.Tensor]) -> bool:
    """Return whether the gradient of a result comes to one of some tensors.

    What lies behind these tensors is not looked at, so it takes as long as the steps between.

    Args:
        result: differentiable.
        inputs: tensors that it may be made of.
    """
    if any(result is tensor for tensor in inputs):
        return True
    ends = {tensor.grad_fn for tensor in inputs if tensor.grad_fn is not None}
    leaves = [tensor for tensor in inputs if tensor.requires_grad and tensor.is_leaf]
    waiting: list[Any] = [result.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in ends or any(getattr(node, "variable", None) is leaf for leaf in leaves):
            return True
        waiting += [before for before, _ in node.next_functions]
    return False
