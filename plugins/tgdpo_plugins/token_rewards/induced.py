"""The token reward that a preference-trained model induces."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core import Example, ScoringContext, TokenReward, model_fingerprint, option

if TYPE_CHECKING:
    import torch


class Induced(TokenReward):
    """Log-ratio of an earlier preference-trained model to its reference, times beta (the paper's).

    r_t = beta * log pi_model / pi_reference (a_t | s_t)   (arXiv 2506.14574, section 4)

    The log-ratios are stored; beta acts after the store.
    """

    model: str = option(help="finished run folder, model folder or Hub id of the trained model")
    beta: float | None = option(
        None,
        help="beta of the reward; unset: the run's beta, as in the official code",
        stored=False,
    )
    reference: str | None = option(
        None, help="the reference that the model was trained from; unset: the run's reference"
    )
    revision: str | None = option(None, help="Hub revision of the model")

    def required(self) -> tuple[str, ...]:
        """Return models, and the run's reference log-probs unless a reference is given."""
        return ("models",) if self.reference else ("models", "reference_logps")

    def options(self, *, stored_only: bool = False) -> dict[str, Any]:
        """Return the options; in the store, models are named by their weights, not their paths."""
        options = super().options(stored_only=stored_only)
        return {} if stored_only else options

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what names the weights of the model and of its own reference."""
        reference = model_fingerprint(self.reference) if self.reference else None
        return {
            "model": model_fingerprint(self.model, revision=self.revision),
            "reference": reference,
        }

    def setup(self, context: ScoringContext) -> None:
        """Load the model, and its own reference if it has one; refuse other tokenizers."""
        self._context = context
        context.require_same_tokenizer(self.model, revision=self.revision)
        self._model = context.load_causal_lm(self.model, revision=self.revision)
        self._reference = None
        if self.reference:
            context.require_same_tokenizer(self.reference)
            self._reference = context.load_causal_lm(self.reference)

    def score(self, batch: Sequence[Example]) -> "list[torch.Tensor]":
        """Return log pi_model - log pi_reference of every response token."""
        logps = self._context.token_logps(self._model, batch)
        if self._reference is None:
            reference: Sequence[Any] = [example.shared["reference_logps"] for example in batch]
        else:
            reference = self._context.token_logps(self._reference, batch)
        return [a - b for a, b in zip(logps, reference, strict=True)]

    def teardown(self) -> None:
        """Let go of the models."""
        self._model = self._reference = None

    def scale(self, beta: float) -> float:
        """Return the reward's beta."""
        return beta if self.beta is None else self.beta
