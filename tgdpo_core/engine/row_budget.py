"""How many tokens a row may have: what a token keeps in memory until its gradient is known.

Counted for a decoder layer of norm, attention through one kernel, norm, gated MLP, as Llama's is;
other layers keep about as much, the margin is for what they keep beyond it.
"""

from typing import Any, NamedTuple

_MULTIPLE = 1024
SMALLEST, LARGEST = 2048, 65_536
_MARGIN = 0.75  # of what is left: kernels' own memory, gaps between blocks, layers unlike Llama's
_TILES = 3 * 256 * 2**20  # a tile of logits in float32, and what the head makes of it
_FLOAT32 = 4


class RowMemory(NamedTuple):
    """What a row costs, in bytes.

    Attributes:
        per_token: for each of its tokens.
        fixed: whatever its length.
    """

    per_token: int
    fixed: int


def row_memory(
    config: Any, *, weight_bytes: int, product_bytes: int, checkpointing: bool
) -> RowMemory:
    """Return the memory of a row's forward and backward pass beyond weights and their gradients.

        norms  2 H (4 + 2 w): the float32 copy of their input, what the weight scales, the result
        inputs 5 H p of q, k, v, gate, up (autocast casts each)
        heads  3 Q p, 4 K p: query, output, output in order; keys and values, gathered
        MLP    4 I p: gate, up, activation, product
        layer  the sum;  row: L layers + 1 (its gradients), or L w H + 2 layers with checkpointing

    Args:
        config: of the text model, as transformers has it.
        weight_bytes: of a weight, and so of the residual stream.
        product_bytes: of a number in products: 2 in half precision and under autocast.
        checkpointing: whether layers are computed again in the backward pass.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    norms = 2 * hidden * (_FLOAT32 + 2 * weight_bytes)
    attention = 3 * heads * head_dim + 4 * key_heads * head_dim
    layer = norms + product_bytes * (5 * hidden + attention + 4 * _intermediate_size(config))
    kept = layers * weight_bytes * hidden + layer if checkpointing else layers * layer
    end = hidden * (2 * weight_bytes + product_bytes + 2 * _FLOAT32)
    head_gradient = config.vocab_size * hidden * weight_bytes
    return RowMemory(kept + layer + end, _TILES + head_gradient)


def budget_within(free: float, memory: RowMemory) -> int:
    """Return the most tokens of a row: a multiple of 1024 from 2048 to 65536.

    Args:
        free: bytes that are left when weights, gradients and optimizer are in memory.
        memory: of a row.
    """
    tokens = (free * _MARGIN - memory.fixed) / memory.per_token
    return int(min(LARGEST, max(SMALLEST, tokens // _MULTIPLE * _MULTIPLE)))


def optimizer_bytes(name: str, weight_bytes: int) -> int:
    """Return what an optimizer of ``TrainingArguments.optim`` keeps for each trained number.

    One of a name that is not known here is taken for AdamW.
    """
    if "paged" in name:
        return 0  # its states are moved out where memory is short
    if "4bit" in name:
        return 1
    if "8bit" in name:
        return 2
    one_state = {
        "sgd": 0,
        "adafactor": 0,
        "adagrad": 1,
        "lion_32bit": 1,
        "rmsprop": 1,
        "ademamix": 3,
    }
    return one_state.get(name, 2) * weight_bytes


def _intermediate_size(config: Any) -> int:
    """Return the width of the MLP that a token passes: several experts count together."""
    dense = next(
        (
            int(value)
            for name in ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
            if isinstance(value := getattr(config, name, None), int)
        ),
        4 * config.hidden_size,
    )
    experts = getattr(config, "num_experts_per_tok", None)
    expert = getattr(config, "moe_intermediate_size", None) or dense
    return max(dense, experts * expert) if isinstance(experts, int) else dense
