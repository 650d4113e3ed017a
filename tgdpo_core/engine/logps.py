"""Log-probabilities of target tokens from hidden states, without a [N, V] tensor."""

import torch

from tgdpo_core.engine import cut_cross_entropy
from tgdpo_core.engine.tiles import Head, TiledLogps, tile_shape


def token_logps(  # noqa: PLR0913 - the public contract
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    logit_softcap: float | None = None,
    logit_scale: float = 1.0,
    chunk_size: int | None = None,
    kernel: str = "tiles",
) -> torch.Tensor:
    """Return ``log softmax(logits)[targets]`` of each token.

        z = logit_scale * (hidden @ weight.T + bias);  z <- c * tanh(z / c) with soft-cap c
        logps[n] = z[n, targets[n]] - logsumexp(z[n])

    Differentiable in ``hidden``, ``weight`` and ``bias``, for any upstream gradient. Logits are
    taken in the dtype of ``hidden`` (where autocast is on, in that of autocast) and turned to
    float32 before soft-cap and log-sum-exp. Gradients have the dtypes of the inputs.

    Args:
        hidden: [N, D], the hidden states that predict the targets.
        weight: [V, D], same dtype; under autocast any.
        targets: [N] int64, each in [0, V).
        bias: [V] or None.
        logit_softcap: Gemma's ``final_logit_softcapping``.
        logit_scale: Cohere's ``logit_scale``, Granite's ``1 / logits_scaling``.
        chunk_size: tokens whose logits exist at once; None takes as many as leave tiles of a good
            shape (16 MiB of logits on a CPU, 256 MiB on a GPU).
        kernel: ``tiles`` (ours, everywhere) or ``cut-cross-entropy`` (that package, on a GPU).

    Returns:
        [N] float32 (float64 for float64 input).

    Raises:
        ValueError: shapes that do not fit, a chunk size below 1, or a kernel that cannot do it.
    """
    _check_shapes(hidden, weight, targets, chunk_size)
    dtype = compute_dtype(hidden)
    # Forward and backward must use the same dtype; autocast would act on the forward alone.
    with torch.autocast(hidden.device.type, enabled=False):
        if kernel == "cut-cross-entropy":
            return cut_cross_entropy.logps(
                hidden.to(dtype), weight, targets, bias, logit_softcap, logit_scale
            )
        shape = tile_shape((len(hidden), *weight.shape), hidden.device.type, chunk_size)
        head = Head(logit_softcap, logit_scale, dtype, *shape)
        result: torch.Tensor = TiledLogps.apply(hidden, weight, bias, targets, head)
    return result


def compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    """Return the dtype of the products: that of autocast where it is on, as in a linear layer."""
    if torch.is_autocast_enabled(hidden.device.type) and hidden.dtype != torch.float64:
        return torch.get_autocast_dtype(hidden.device.type)
    return hidden.dtype


def _check_shapes(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk_size: int | None
) -> None:
    fits = hidden.dim() == 2 and weight.dim() == 2 and hidden.shape[1] == weight.shape[1]
    if not fits or targets.shape != hidden.shape[:1]:
        raise ValueError(
            "token_logps needs hidden [N, D], weight [V, D] and targets [N]; got "
            f"{list(hidden.shape)}, {list(weight.shape)} and {list(targets.shape)}."
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 or None, got {chunk_size}.")
