"""Per-token log-probabilities of a row under a causal language model of transformers.

``TokenLogps`` knows two routes. ``head``: hidden states of the decoder, then the chunked head of
``token_logps`` on response tokens only. ``logits``: the model's own head, on response tokens only
where the model can. A numeric check at the start chooses; nothing is taken on trust.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.engine.logps import token_logps
from tgdpo_core.engine.rows import PackedRow

# Attributes of a config that say how logits are scaled, and whether they multiply or divide.
_SCALES = {"logit_scale": 1, "logits_scaling": -1, "lm_head_multiplier": 1, "output_multiplier": 1}
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # else: half precision
_HALF_TOLERANCE = 0.1


@dataclass(frozen=True)
class HeadSettings:
    """What a model does to its logits beyond weight and bias."""

    softcap: float | None
    scale: float


def head_settings(config: Any) -> HeadSettings:
    """Return soft-cap and scale as a transformers config states them."""
    scale = 1.0
    for name, exponent in _SCALES.items():
        value = getattr(config, name, None)
        if isinstance(value, int | float):
            scale *= float(value) ** exponent
    return HeadSettings(getattr(config, "final_logit_softcapping", None), scale)


class TokenLogps:
    """Computes [N] float32 log-probabilities of a row's response tokens.

    Args:
        model: a causal language model of transformers (or one wrapped by peft).
        chunk_size: see ``token_logps``.
    """

    def __init__(self, model: Any, *, chunk_size: int | None = None) -> None:
        self._model = model
        self._chunk_size = chunk_size
        self._settings = head_settings(model.config.get_text_config())
        self.route, self.reason = self._choose_route()

    def __call__(self, row: PackedRow) -> torch.Tensor:
        """Return log pi of every response token of the row, [N] float32."""
        return self._through_head(row) if self.route == "head" else self._through_logits(row)

    def _through_head(self, row: PackedRow) -> torch.Tensor:
        output = self._model.get_decoder()(**_inputs(row))
        hidden = output.last_hidden_state.flatten(0, 1).index_select(0, row.source)
        # Looked up at call time: peft and sharding replace it.
        head = self._model.get_output_embeddings()
        return token_logps(
            hidden,
            head.weight,
            row.targets,
            bias=getattr(head, "bias", None),
            logit_softcap=self._settings.softcap,
            logit_scale=self._settings.scale,
            chunk_size=self._chunk_size,
        )

    def _through_logits(self, row: PackedRow) -> torch.Tensor:
        logits = _original_forward(self._model)(**_inputs(row)).logits
        chosen = logits.flatten(0, 1).index_select(0, row.source).float()
        return torch.log_softmax(chosen, -1).gather(1, row.targets[:, None]).squeeze(1)

    @torch.no_grad()
    def _choose_route(self) -> tuple[str, str]:
        """Compare both routes on a few tokens; use the head only where they agree."""
        row = _probe_row(self._model)
        with _evaluating(self._model):
            expected = self._through_logits(row)
            try:
                found = self._through_head(row)
            except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
                return "logits", f"the decoder cannot be called alone ({error})"
        worst = (found - expected).abs().max().item()
        allowed = _TOLERANCE.get(self._model.dtype, _HALF_TOLERANCE)
        if not worst <= allowed:
            return "logits", f"decoder and head differ from the model's logits by {worst:.2g}"
        return "head", f"decoder and head equal the model's logits within {worst:.1g}"


def attach(model: Any, *, chunk_size: int | None = None) -> TokenLogps:
    """Let ``model(row=row)`` return log-probabilities; other calls work as before.

    The call must go through the module itself, so that the hooks of DDP and FSDP fire.
    """
    engine = TokenLogps(model, chunk_size=chunk_size)
    original = model.forward

    def forward(self: Any, *args: Any, row: PackedRow | None = None, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if row is None else engine(row)

    model.tgdpo_original_forward = original
    model.forward = types.MethodType(forward, model)
    return engine


def detach(model: Any) -> None:
    """Undo ``attach``."""
    if "tgdpo_original_forward" in vars(model):
        del model.forward
        del model.tgdpo_original_forward


def _original_forward(model: Any) -> Any:
    return getattr(model, "tgdpo_original_forward", model)


def _inputs(row: PackedRow) -> dict[str, Any]:
    return {
        "input_ids": row.input_ids,
        "attention_mask": row.attention_mask,
        "use_cache": False,
    }


def _probe_row(model: Any) -> PackedRow:
    """Return one small pair of fixed token ids that every vocabulary has."""
    from tgdpo_core.engine.rows import PairIds, pad_pairs

    size = model.config.get_text_config().vocab_size
    ids = [(7 * i + 3) % size for i in range(12)]
    pair = PairIds(prompt=ids[:4], chosen=ids[4:9], rejected=ids[9:])
    return pad_pairs([pair]).to(model.device)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
