"""The memory of a training step by part: arithmetic on counts, in bytes of one GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

GIB = 2**30

# Bytes of the states of one number, by the beginning of the optimizer's name; "states" are kept in
# the dtype of the weight, blocks in one or half a byte with a float32 scale for each.
_BLOCK_8, _BLOCK_4 = 1 + 4 / 256, 0.5 + 4 / 256
_SMALLEST_BLOCKED = 4096
_OPTIMIZERS: tuple[tuple[str, float, float], ...] = (  # name, numbers in blocks, full numbers
    ("adamw_torch_8bit", 2 * _BLOCK_8, 0),
    ("adamw_torch_4bit", 2 * _BLOCK_4, 0),
    ("adamw_bnb_8bit", 2 * _BLOCK_8, 0),
    ("adamw_8bit", 2 * _BLOCK_8, 0),
    ("lion_8bit", _BLOCK_8, 0),
    ("lion_32bit", 0, 1),
    ("paged_", 0, 0),  # their states lie in the machine's memory
    ("sgd", 0, 0),
    ("adagrad", 0, 1),
    ("rmsprop", 0, 1),
    ("adamw", 0, 2),
)
_QUANTISED = 0.5 + 4 / 64  # bytes of a number of 4 bits, a scale for each 64
_TILE_BYTES = 8  # of a logit: 16 bits, float32 and a gradient of 16 bits; or twice float32
_UPDATE_BYTES = 8  # of a number of the tensor that is updated: both moments in float32


@dataclass(frozen=True)
class Weight:
    """A tensor of the model.

    Attributes:
        numel: its numbers.
        itemsize: bytes of each.
        is_trained: it gets a gradient.
        is_product: it is the matrix of a layer's product: autocast copies it, 4 bits store it.
        layer: number of the decoder layer that it belongs to; None outside of them.
    """

    numel: int
    itemsize: int
    is_trained: bool
    is_product: bool = False
    layer: int | None = None


@dataclass(frozen=True)
class Row:
    """The longest row.

    Attributes:
        tokens: positions.
        responses: tokens whose log-probs are needed.
    """

    tokens: int
    responses: int


@dataclass(frozen=True)
class Activations:
    """What the decoder layers hold for a row, in bytes.

    Attributes:
        kept: from the forward to the backward pass, bfloat16 copies of weights not counted.
        forward: at the most on top of that during the forward pass.
        backward: at the most on top of that during the backward pass.
    """

    kept: int
    forward: int
    backward: int


@dataclass(frozen=True)
class Head:
    """The head: vocabulary, width, size of a tile of logits, and what its weight is.

    Attributes:
        vocabulary: entries.
        width: of the hidden states.
        tile: tokens and entries of the logits that exist at once.
        itemsize: bytes of a number of the weight.
        is_trained: its weight gets a gradient.
        is_tied: its weight is the embedding's.
    """

    vocabulary: int
    width: int
    tile: tuple[int, int]
    itemsize: int
    is_trained: bool
    is_tied: bool = False


@dataclass(frozen=True)
class Setting:
    """How a run trains.

    Attributes:
        optimizer: name in ``training.optim``.
        autocast: mixed precision of 16 bits.
        checkpointing: activations are computed again in the backward pass.
        is_quantised: products of frozen layers are stored in 4 bits.
        shards: processes that share weights, gradients and states (FSDP2); 1: none.
        replicas: processes that each hold all of it (data parallelism); 1: none.
    """

    optimizer: str
    autocast: bool
    checkpointing: bool
    is_quantised: bool = False
    shards: int = 1
    replicas: int = 1


@dataclass(frozen=True)
class Parts:
    """Bytes of one GPU at the highest moment of a step, by part.

    Attributes:
        weights: of the model.
        gradients: of trained weights; under data parallelism with their buckets.
        optimizer: its states.
        copies: of weights: in 16 bits, by autocast; gathered, where they are sharded.
        activations: of the longest row, kept for the backward pass.
        working: what a layer's forward or backward pass holds on top.
        head: tiles of logits, what goes into them, and the gradients that come out.
        embedding: its gradient, at the end of the backward pass.
        update: what the optimizer holds while it updates the largest tensor.
        moment: when it is highest; of the parts after ``optimizer`` those of that moment count.
    """

    weights: float
    gradients: float
    optimizer: float
    moment: str
    copies: float = 0.0
    activations: float = 0.0
    working: float = 0.0
    head: float = 0.0
    embedding: float = 0.0
    update: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.by_name().values())

    def by_name(self) -> dict[str, float]:
        """Return bytes by part, those that are 0 as well."""
        return {name: value for name, value in vars(self).items() if name != "moment"}


def optimizer_bytes(weight: Weight, optimizer: str) -> float:
    """Return bytes of the states of a trained tensor; AdamW's for an optimizer that is unknown."""
    is_blocked = weight.numel >= _SMALLEST_BLOCKED
    for name, blocks, numbers in _OPTIMIZERS:
        if optimizer.startswith(name):
            small = 2.0 if name.startswith("adamw") else 1.0
            if blocks:
                return weight.numel * (blocks if is_blocked else small * weight.itemsize)
            return weight.numel * weight.itemsize * numbers
    return weight.numel * weight.itemsize * 2.0


def memory_parts(
    weights: Sequence[Weight], activations: Activations, head: Head, row: Row, setting: Setting
) -> Parts:
    """Return the memory of a step, with the states of the optimizer in place.

    Before the backward pass of a row there are gradients of the row before it, so they count in
    full. Of the moments of a step the highest one is taken.
    """
    trained = [weight for weight in weights if weight.is_trained]
    largest = max((weight.numel for weight in trained), default=0) / setting.shards
    moments = _moments(_copies(weights, setting), activations, head, row, setting)
    if "bit" in setting.optimizer:
        moments["update"] = {"update": largest * _UPDATE_BYTES}
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    buckets = 2 if setting.replicas > 1 else 1
    return Parts(
        weights=sum(_stored(weight, setting) for weight in weights) / setting.shards,
        gradients=buckets * sum(w.numel * w.itemsize for w in trained) / setting.shards,
        optimizer=sum(optimizer_bytes(w, setting.optimizer) for w in trained) / setting.shards,
        moment=moment,
        **moments[moment],
    )


def _moments(
    copies: float, activations: Activations, head: Head, row: Row, setting: Setting
) -> dict[str, dict[str, float]]:
    """Return what exists beside weights, gradients and states, by moment and part."""
    # Without checkpointing the backward pass needs what autocast copied; with it, a layer's are
    # made again and are part of ``activations.backward``.
    later = 0.0 if setting.checkpointing and setting.shards == 1 else copies
    gradient = head.vocabulary * head.width * head.itemsize if head.is_trained else 0.0
    tiles = _tiles(head, row, setting)
    hidden = row.responses * head.width * (4 + head.itemsize)
    kept = float(activations.kept)
    return {
        "a layer, forward": {
            "copies": copies,
            "activations": kept,
            "working": float(activations.forward),
        },
        "the head, forward": {"copies": copies, "activations": kept, "head": tiles},
        "the head, backward": {
            "copies": later,
            "activations": kept,
            "head": tiles + hidden + gradient,
        },
        "a layer, backward": {
            "copies": later,
            "activations": kept,
            "working": float(activations.backward),
            # Of a weight with two uses, the gradient of the first waits for that of the second.
            "head": gradient if head.is_tied else 0.0,
        },
        "the embedding, backward": {
            "head": gradient if head.is_tied else 0.0,
            "embedding": gradient * (2 if head.is_tied else 1),
        },
    }


def _stored(weight: Weight, setting: Setting) -> float:
    """Return bytes of a tensor as it is stored."""
    is_quantised = setting.is_quantised and weight.is_product and not weight.is_trained
    return weight.numel * (_QUANTISED if is_quantised else weight.itemsize)


def _copies(weights: Sequence[Weight], setting: Setting) -> float:
    """Return bytes of copies of weights that exist beside them.

    Autocast keeps those of trained weights to the end of the forward pass; the others are kept
    where the backward pass will need them.
    """
    if setting.shards > 1:
        return _gathered(weights, setting)
    if not setting.autocast:
        return 0.0
    return sum(
        2.0 * weight.numel
        for weight in weights
        if weight.is_product
        and (weight.is_trained or not (setting.checkpointing or setting.is_quantised))
        and weight.itemsize == 4
    )


def _gathered(weights: Sequence[Weight], setting: Setting) -> float:
    """Return bytes of two layers, or of what lies outside of them, whole on a process.

    The next layer is gathered while one is computed; gradients of a layer are whole before they are
    summed over the processes, in float32.
    """
    layers: dict[int | None, float] = {}
    for weight in weights:
        size = 2.0 if setting.autocast else weight.itemsize
        layers[weight.layer] = layers.get(weight.layer, 0.0) + weight.numel * size
    outside = layers.pop(None, 0.0)
    largest = max(layers.values(), default=0.0)
    of_gradients = 4.0 / 2.0 if setting.autocast else 1.0
    return max(outside, (2 + of_gradients) * largest)


def _tiles(head: Head, row: Row, setting: Setting) -> float:
    """Return bytes of a tile of logits and of the hidden states in the format of its products."""
    product = 2 if setting.autocast else head.itemsize
    tokens, entries = min(head.tile[0], row.responses), head.tile[1]
    logits = tokens * entries * _TILE_BYTES
    weights = entries * head.width * (product + 4)  # of the tile, and its gradient
    return row.responses * head.width * product + logits + weights
