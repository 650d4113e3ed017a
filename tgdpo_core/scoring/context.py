"""Frozen models during the scoring pass, through the engine that also trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.data.retokenization import retokenize
from tgdpo_core.data.tokenization import check_tokenizer
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.errors import DataError, PluginError, UsageError
from tgdpo_core.models.checks import require_ids, require_same_tokens
from tgdpo_core.models.loading import NO_TRUST, Trust, load_frozen, load_tokenizer, on_device
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.scoring.metric_sums import MetricSums


class FrozenModels:
    """The ``ScoringContext`` that reward plugins get: loads models once and frees them together.

    Args:
        tokenizer: the policy's.
        device: where models are put.
        precision: their number formats.
        trust: what files of models may do.
        who: the plugin's name, for messages.
        may_load: whether the plugin declared that it needs models.
        artifacts: folder of what the plugin's ``prepare`` left, or leaves; None without one.
    """

    def __init__(  # noqa: PLR0913 - everything that a plugin may use
        self,
        tokenizer: Any,
        *,
        device: torch.device,
        precision: Precision,
        trust: Trust = NO_TRUST,
        who: str = "",
        may_load: bool = True,
        artifacts: Path | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = precision.dtype
        self.coarsest = precision.computes_in
        self._precision = precision
        self._trust = trust
        self._who = who
        self._may_load = may_load
        self.metrics = MetricSums(who)
        self._artifacts = artifacts
        self._engines: dict[int, TokenLogps] = {}
        self._models: dict[tuple[str, str | None], Any] = {}

    def log_metric(self, name: str, value: float) -> None:
        """Note a number; its mean is logged."""
        self.metrics.add(name, value)

    def computes_in(self, dtype: torch.dtype) -> None:
        """Note the format in which a model of the plugin's own computes."""
        self.coarsest = min(self.coarsest, dtype, key=lambda each: each.itemsize)

    @property
    def artifacts(self) -> Path:
        """Folder of what ``prepare`` left, or leaves; ``PluginError`` for a reward without it."""
        if self._artifacts is None:
            raise PluginError(
                f"{self._who} has no context.artifacts: that is the folder of what "
                "prepare(context, examples) leaves, which it does not implement."
            )
        return self._artifacts

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
            model = load_frozen(
                name_or_path,
                revision=revision,
                precision=self._precision,
                trust=self._trust,
            )
            self._models[key] = on_device(model, self.device)
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
        try:
            require_same_tokens(
                self.tokenizer if tokenizer is None else tokenizer,
                other,
                who=f"'{name_or_path}'",
                whose="the policy's"
                if tokenizer is None
                else f"that of '{tokenizer.name_or_path}'",
                next_step=next_step,
            )
        except UsageError as error:
            raise PluginError(f"{self._who}: {error}") from error

    def retokenize(self, batch: Sequence[Example], tokenizer: Any) -> list[Example]:
        """Return the examples in another tokenizer's tokens, offsets in the policy's text."""
        return retokenize(batch, tokenizer)

    def token_logps(self, model: Any, batch: Sequence[Example]) -> list[torch.Tensor]:
        """Return [len(response_ids)] float32 log-probs of each example under ``model``."""
        if id(model) not in self._engines:
            self._engines[id(model)] = TokenLogps(model)
        engine = self._engines[id(model)]
        ids = (("an example", [*e.prompt_ids, *e.response_ids]) for e in batch)
        require_ids(model, ids, self.tokenizer, who=f"the model of {self._who}")
        with self._precision.active(self.device):
            flat = engine(engine.row(_as_pairs(batch)).to(self.device)).float().cpu()
        return list(flat.split([len(e.response_ids) for e in batch]))

    def _tokenizer_of(self, name_or_path: str, revision: str | None) -> Any:
        try:
            return load_tokenizer(
                name_or_path, revision=revision, trust_remote_code=self._trust.remote_code
            )
        except UsageError as error:
            raise PluginError(f"{self._who}: {error} Save the tokenizer beside it.") from error

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
