"""The model that the harness asks: loaded as everywhere here, scored as everywhere there."""

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from tgdpo_core.models.loading import Trust, load_frozen, load_tokenizer
from tgdpo_core.models.precision import Precision

_MOST_NEW_TOKENS = 256  # HFLM's own, where a task does not say


class RunModel(HFLM):
    """A run folder, folder, adapter or Hub id as an ``lm_eval.api.model.LM``.

    Loading is this project's: adapters, checks, number formats. Tokenization, likelihoods and
    generation are those of the harness's ``HFLM``, so that its published numbers can be compared.

    Attributes:
        num_requests: texts that the harness asked about.
        num_cut: of them, those longer than the model's positions: their beginnings were left out.
    """

    def __init__(self, path: str, *, precision: Precision, trust: Trust, batch_size: int) -> None:
        """Load a model onto the GPU, if there is one."""
        model = load_frozen(path, precision=precision, trust=trust)
        super().__init__(
            pretrained=model.to("cuda" if torch.cuda.is_available() else "cpu"),
            tokenizer=load_tokenizer(path, trust_remote_code=trust.remote_code),
            batch_size=batch_size,
        )
        self.num_requests = 0
        self.num_cut = 0

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **how: Any
    ) -> list[tuple[float, bool]]:
        """Return log-likelihoods; what HFLM cuts on the left is counted."""
        lengths = [len(context) + len(continuation) for _, context, continuation in requests]
        # The last token of a continuation is predicted, and needs no position.
        self._count(length > self.max_length + 1 for length in lengths)
        found: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, **how)
        return found

    def generate_until(self, requests: Sequence[Any], **how: Any) -> list[str]:
        """Return generated texts; prompts that HFLM cuts on the left are counted."""
        self._count(self._is_cut(*request.args) for request in requests)
        found: list[str] = super().generate_until(requests, **how)
        return found

    def _is_cut(self, context: str, settings: dict[str, Any]) -> bool:
        new = settings.get("max_gen_toks") or settings.get("max_new_tokens") or _MOST_NEW_TOKENS
        return len(self.tok_encode(context)) > self.max_length - int(new)

    def _count(self, cut: Any) -> None:
        each = list(cut)
        self.num_requests += len(each)
        self.num_cut += sum(each)
