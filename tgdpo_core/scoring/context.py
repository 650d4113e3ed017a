"""Frozen models during the scoring pass, through the engine that also trains."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tgdpo_core.data.retokenization import retokenize
from tgdpo_core.data.tokenization import check_tokenizer
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.errors import DataError, PluginError, UsageError
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.scoring.fingerprints import resolve_model_path, vocabulary_fingerprint


@dataclass(frozen=True)
class Precision:
    """The number formats that decide log-probs, beside the weights.

    Attributes:
        dtype: of frozen models' weights.
        autocast: dtype of mixed precision, or None.
        attn_implementation: as asked for; None is the model's default.
    """

    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    attn_implementation: str | None = None

    def document(self) -> dict[str, str | None]:
        """Return JSON for the store's key."""
        return {
            "dtype": str(self.dtype),
            "autocast": str(self.autocast) if self.autocast else None,
            "attention": self.attn_implementation,
        }

    @contextlib.contextmanager
    def active(self, device: torch.device) -> Iterator[None]:
        """No gradients, and autocast where it is on."""
        with (
            torch.no_grad(),
            torch.autocast(device.type, dtype=self.autocast, enabled=self.autocast is not None),
        ):
            yield


class FrozenModels:
    """The ``ScoringContext`` that reward plugins get: loads models once and frees them together.

    Args:
        tokenizer: the policy's.
        device: where models are put.
        precision: their number formats.
        trust_remote_code: whether code that a model repository brings may run.
        who: the plugin's name, for messages.
        may_load: whether the plugin declared that it needs models.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        device: torch.device,
        precision: Precision,
        trust_remote_code: bool = False,
        who: str = "",
        may_load: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = precision.dtype
        self._precision = precision
        self._trust_remote_code = trust_remote_code
        self._who = who
        self._may_load = may_load
        self._engines: dict[int, TokenLogps] = {}
        self._models: dict[tuple[str, str | None], Any] = {}

    def load_causal_lm(self, name_or_path: str, *, revision: str | None = None) -> Any:
        """Return a frozen causal language model on the device."""
        if not self._may_load:
            raise PluginError(
                f"{self._who} loads a model without saying so: add needs = ('models',) to its "
                "class, "
                "so that the dtype becomes part of the store's key."
            )
        key = (name_or_path, revision)
        if key not in self._models:
            self._models[key] = load_frozen(
                name_or_path,
                revision=revision,
                precision=self._precision,
                trust_remote_code=self._trust_remote_code,
            ).to(self.device)
        return self._models[key]

    def load_tokenizer(self, name_or_path: str, *, revision: str | None = None) -> Any:
        """Return a model's own tokenizer, one that gives offsets and has an EOS token."""
        tokenizer = self._tokenizer_of(name_or_path, revision)
        try:
            check_tokenizer(tokenizer)
        except DataError as error:
            raise PluginError(f"{self._who}, tokenizer of '{name_or_path}': {error}") from error
        return tokenizer

    def require_same_tokenizer(
        self,
        name_or_path: str,
        *,
        revision: str | None = None,
        tokenizer: Any = None,
        next_step: str = "Use a model with the same tokenizer.",
    ) -> None:
        """Raise ``PluginError`` unless a model's tokenizer has the ids of another one."""
        other = self._tokenizer_of(name_or_path, revision)
        whose = "the policy's" if tokenizer is None else f"that of '{tokenizer.name_or_path}'"
        expected = self.tokenizer if tokenizer is None else tokenizer
        if vocabulary_fingerprint(other) != vocabulary_fingerprint(expected):
            raise PluginError(
                f"{self._who}: the tokenizer of '{name_or_path}' ({len(other)} tokens) differs "
                f"from {whose} ({len(expected)} tokens), so its log-probs belong to other tokens. "
                f"{next_step}"
            )

    def retokenize(self, batch: Sequence[Example], tokenizer: Any) -> list[Example]:
        """Return the examples in another tokenizer's tokens, offsets in the policy's text."""
        return retokenize(batch, tokenizer)

    def token_logps(self, model: Any, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return [len(response_ids)] float32 log-probs of each example under ``model``."""
        if id(model) not in self._engines:
            self._engines[id(model)] = TokenLogps(model)
        engine = self._engines[id(model)]
        with self._precision.active(self.device):
            flat = engine(engine.row(_as_pairs(batch)).to(self.device)).float().cpu()
        return list(flat.split([len(e.response_ids) for e in batch]))

    def _tokenizer_of(self, name_or_path: str, revision: str | None) -> Any:
        from transformers import AutoTokenizer

        path = str(resolve_model_path(name_or_path))
        try:
            return AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=self._trust_remote_code
            )
        except (OSError, ValueError) as error:
            raise PluginError(
                f"{self._who}: the model '{name_or_path}' has no tokenizer that can be loaded "
                f"({error}). Save the tokenizer beside the model."
            ) from error

    def release(self) -> None:
        """Free every model, so that none is in memory during training."""
        self._engines.clear()
        self._models.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _as_pairs(batch: Sequence[Example]) -> list[PairIds]:
    """Return the examples in their order, neighbours with one prompt joined to a pair."""
    pairs: list[PairIds] = []
    for example in batch:
        last = pairs[-1] if pairs else None
        if last and not len(last.rejected) and list(last.prompt) == list(example.prompt_ids):
            pairs[-1] = last._replace(rejected=example.response_ids)
        else:
            pairs.append(PairIds(example.prompt_ids, example.response_ids, ()))
    return pairs


def load_frozen(
    name_or_path: str,
    *,
    precision: Precision,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """Return a causal language model without gradients, in eval mode, on the CPU.

    Raises:
        UsageError: nothing there that can be loaded.
    """
    from transformers import AutoModelForCausalLM

    path = str(resolve_model_path(name_or_path))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            revision=revision,
            dtype=precision.dtype,
            attn_implementation=precision.attn_implementation,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"Model '{name_or_path}' cannot be loaded: {error}") from error
    return model.requires_grad_(False).eval()
