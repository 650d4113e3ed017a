"""Per-token log-probabilities of pairs under a causal language model of transformers."""

import copy
import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from tgdpo_core.engine import attention as door
from tgdpo_core.engine import epilogue
from tgdpo_core.engine.attention import Backend
from tgdpo_core.engine.choice import Choice, Request
from tgdpo_core.engine.distribution import Asked, of_logits
from tgdpo_core.engine.head import (
    HeadSettings,
    finished_logits,
    fused_columns,
    fused_logps,
    head_settings,
    is_plain_linear,
    module_logps,
)
from tgdpo_core.engine.probe import compute_dtype, plain_logps, probe
from tgdpo_core.engine.rows import (
    PackedRow,
    PairIds,
    device_of,
    pad_pairs,
    plan_padded_rows,
    plan_rows,
    share_pairs,
)
from tgdpo_core.errors import UsageError

_ENGINE = "tgdpo_engine"
_GPU_ROW_MULTIPLE = 128


class TokenLogps:
    """Computes [N] float32 log-probabilities of the response tokens of rows of pairs.

    How is decided once, by a probe on the model itself (see ``probe``): rows that hold every prompt
    once, or padded ones; the chunked head on response tokens only, or the model's own logits.

    Args:
        model: a causal language model of transformers, or one wrapped by peft.
        layout: ``auto`` (share where the probe allows it) or ``pad``.
        chunk_size: see ``token_logps``.
        attention: ``auto``, or a backend to try first (``varlen``, ``flash-attn``, ``flex``,
            ``segments``).
        autocast: dtype of the autocast that rows will be computed under; None tries bfloat16 beside
            float32 on a GPU.
        row_multiple: shared rows get lengths that this divides, by an inert tail; None is 128 on a
            GPU, 1 elsewhere.
    """

    def __init__(
        self,
        model: Any,
        *,
        layout: str = "auto",
        chunk_size: int | None = None,
        attention: str = "auto",
        autocast: torch.dtype | None = None,
        row_multiple: int | None = None,
    ) -> None:
        door.register()
        self._model = model
        self._chunk_size = chunk_size
        on_gpu = device_of(model).type == "cuda"
        self._row_multiple = row_multiple or (_GPU_ROW_MULTIPLE if on_gpu else 1)
        self._settings: HeadSettings = head_settings(model)
        self._plain_attention = door.plain_implementation(model)
        self.choice: Choice
        request = Request(layout, attention, autocast, self._row_multiple)
        self.choice, self._backends = probe(model, self._logps, request)

    def plan(self, pairs: Sequence[PairIds], budget: int) -> list[list[int]]:
        """Return which pairs go into one row, as indices; a row has at most ``budget`` tokens.

        A pair that is larger than the budget gets a row of its own.
        """
        if self.choice.layout == "share":
            return plan_rows([pair.shared_length for pair in pairs], budget)
        return plan_padded_rows([pair.longest_sequence for pair in pairs], budget)

    def row(self, pairs: Sequence[PairIds]) -> PackedRow:
        """Return pairs as one row of the chosen layout, on the CPU, ready for its attention."""
        if self.choice.layout != "share":
            return pad_pairs(pairs)
        row = share_pairs(pairs, multiple=self._row_multiple)
        assert row.layout
        return replace(row, layout=self._backends.prepare(row.layout))

    def __call__(self, row: PackedRow) -> torch.Tensor:
        """Return log pi of every response token of the row, [N] float32."""
        return self._logps(row, head=self.choice.head)

    def through_model(self, row: PackedRow) -> torch.Tensor:
        """Return the same by the model's own call where it is ours: its hooks gather weights."""
        is_attached = vars(self._model).get(_ENGINE) is self
        result: torch.Tensor = self._model(row=row) if is_attached else self(row)
        return result

    def distribution(
        self, row: PackedRow, asked: Asked
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return log pi of every response token, [N], and what is asked of pi by name.

        One forward pass gives both. [N, V] logits exist only where the model's own are used, or its
        head is no plain linear layer.
        """
        inputs = self._inputs(row)
        if self.choice.head == "model":
            forward = vars(self._model).get("tgdpo_forward", self._model)
            logits = forward(**inputs).logits.flatten(0, 1).index_select(0, row.source)
            joined, columns = of_logits(epilogue.finished(logits, 1.0, None), row.targets, asked)
            return columns.split(joined)
        hidden, output = self._decoded(row, inputs), self._model.get_output_embeddings()
        if is_plain_linear(output):
            joined, columns = fused_columns(
                output, hidden, row.targets, self._settings, asked, chunk_size=self._chunk_size
            )
        else:
            logits = finished_logits(output, hidden, self._settings)
            joined, columns = of_logits(logits, row.targets, asked)
        return columns.split(joined.to(row.targets.device))

    def hidden(self, row: PackedRow) -> torch.Tensor:
        """Return the hidden states that the head turns into the logits of each token, [N, D].

        Raises:
            UsageError: the model's decoder cannot be called alone.
        """
        if self.choice.head == "model":
            raise UsageError(
                "The hidden states of this model cannot be had apart from its logits: "
                f"{self.choice.head_reason}. What compares distributions needs them."
            )
        return self._decoded(row, self._inputs(row))

    def plain(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's own output, with the attention it was loaded with."""
        forward = vars(self._model).get("tgdpo_forward", self._model)
        if door.implementation(self._model) == self._plain_attention:
            return forward(*args, **kwargs)
        with door.use(self._model, self._plain_attention):
            return forward(*args, **kwargs)

    def _logps(self, row: PackedRow, *, head: str, backend: Backend | None = None) -> torch.Tensor:
        """Compute by the chunked head (``chunked``) or through the model's logits (``model``)."""
        inputs = self._inputs(row, backend)
        if head == "model":
            forward = vars(self._model).get("tgdpo_forward", self._model)
            return plain_logps(forward, row, inputs)
        found = self._head_logps(self._decoded(row, inputs), row.targets)
        return found.to(row.targets.device)

    def _inputs(self, row: PackedRow, backend: Backend | None = None) -> dict[str, Any]:
        """Return the arguments of the model's forward, its attention switched as the row needs."""
        wanted = door.NAME if row.layout is not None else self._plain_attention
        if door.implementation(self._model) != wanted:
            # It stays: gradient checkpointing computes layers again during the backward pass.
            self._model.set_attn_implementation(wanted)
        inputs = row.inputs()
        if row.layout is not None:
            backend = backend or self._backends.of(compute_dtype(self._model))
            inputs["tgdpo_attention"] = backend.bind(row.layout, row.input_ids.device)
        return inputs

    def _decoded(self, row: PackedRow, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the hidden states that predict the response tokens, [N, D]."""
        hidden = self._model.get_decoder()(**inputs).last_hidden_state
        # Of a model that is spread over devices, the end lies elsewhere than the beginning.
        source = row.source.to(hidden.device)
        selected: torch.Tensor = hidden.flatten(0, 1).index_select(0, source)
        return selected

    def _head_logps(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        # Looked up at call time: peft and sharding replace it.
        output = self._model.get_output_embeddings()
        if not is_plain_linear(output):
            return module_logps(output, hidden, targets, self._settings)
        return fused_logps(
            output,
            hidden,
            targets,
            self._settings,
            chunk_size=self._chunk_size,
            kernel=self._kernel,
        )

    @property
    def _kernel(self) -> str:
        """The kernel of the head; ours until the probe has chosen."""
        chosen = vars(self).get("choice")
        is_cut = chosen is not None and chosen.head_kernel == "cut-cross-entropy"
        return "cut-cross-entropy" if is_cut else "tiles"


def engine_of(model: Any, **settings: Any) -> TokenLogps:
    """Return the engine attached to a model, else a new one."""
    attached: TokenLogps | None = vars(model).get(_ENGINE)
    return attached or TokenLogps(model, **settings)


def plain_copy(model: Any) -> Any:
    """Return a frozen copy of a model, to be called as transformers means it."""
    plain = door.plain_implementation(model)
    duplicate = copy.deepcopy(model).requires_grad_(False).eval()
    if own := vars(duplicate).pop("tgdpo_forward", None):  # attached: its engine is the original's
        duplicate.forward = own
        delattr(duplicate, _ENGINE)
    duplicate.set_attn_implementation(plain)
    return duplicate


def attach(model: Any, **settings: Any) -> TokenLogps:
    """Let ``model(row=row)`` return log-probabilities; other calls work as before.

    ``model(row=row, asked=asked)`` returns them with the values of ``TokenLogps.distribution``.

    The call must go through the module itself, so that the hooks of DDP and FSDP fire.
    """
    engine = TokenLogps(model, **settings)
    original = vars(model).get("tgdpo_forward", model.forward)  # a second run's model has ours

    def forward(
        self: Any,
        *args: Any,
        row: PackedRow | None = None,
        asked: Asked | None = None,
        **kwargs: Any,
    ) -> Any:
        if row is None:
            return engine.plain(*args, **kwargs)
        return engine(row) if asked is None else engine.distribution(row, asked)

    model.tgdpo_forward = original
    model.forward = types.MethodType(forward, model)
    setattr(model, _ENGINE, engine)
    return engine
