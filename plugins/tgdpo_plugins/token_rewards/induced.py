"""The token reward that a preference-trained model induces."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tgdpo_core import (
    Example,
    ScoringContext,
    Spans,
    TokenReward,
    model_fingerprint,
    option,
    resolve_model_path,
)
from tgdpo_plugins.token_rewards.step_sums import step_ends, step_sums

if TYPE_CHECKING:
    import torch


class Induced(TokenReward):
    """Log-ratio of an earlier preference-trained model to its reference, times beta (the paper's).

    r_t = beta * log pi_model / pi_reference (a_t | s_t)   (arXiv 2506.14574, section 4)

    The log-ratios are stored; beta acts after the store. Any model trained on preferences or by
    RLHF will do. Known variants are settings of it:

    TGDPO          model=DPO_RUN (the run's reference and beta)
    SimPO-trained  model=SIMPO_RUN reference=SFT beta=B (SimPO's beta is on another scale: say B)
    RTO            model=DPO_RUN reference=SFT beta=0.05, and --reward-transform clip:max=0.05
    ImplicitPRM    model=PRM reference=ITS_BASE beta=0.05 granularity=step
    PRIME          as ImplicitPRM with place=last, or with granularity=response

    The transform clip acts on r, that is after beta. A step's sum is the difference of the
    cumulative sum at the ends of steps; a step keeps the separator behind it, and a token belongs
    to the step that holds its last character.

    With tokenizer=own the model reads prompt and response in its own tokens, through its own chat
    template, and its log-ratios are led to the policy's tokens by characters of the response: the
    sum over a response stays the same. It needs a reference with the same tokenizer as the model.
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
    tokenizer: Literal["same", "own"] = option(
        "same", help="own: the model's tokenizer differs from the policy's (needs reference)"
    )
    granularity: Literal["token", "step", "response"] = option(
        "token", help="over what log-ratios are summed"
    )
    step_separator: str = option(
        "\n", help="ends a step (granularity=step); in a shell: $'step_separator=\\n\\n'"
    )
    place: Literal["spread", "last"] = option(
        "spread", help="a sum goes in equal parts to all tokens of its step, or to the last one"
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other or would change nothing."""
        if self.tokenizer == "own" and not self.reference:
            raise ValueError(
                "tokenizer=own needs reference: the run's reference log-probs belong to the "
                "policy's tokens. Give reference=MODEL, what the model was trained from"
            )
        if self.place == "last" and self.granularity == "token":
            raise ValueError("place=last needs granularity=step or granularity=response")
        if self.step_separator != "\n" and self.granularity != "step":
            raise ValueError("step_separator needs granularity=step")
        if not self.step_separator or "\\n" in self.step_separator:
            raise ValueError(
                f"step_separator={self.step_separator!r} ends no step: a line break is one "
                "character; in a shell write $'step_separator=\\n\\n'"
            )

    def required(self) -> tuple[str, ...]:
        """Return models, and the run's reference log-probs unless a reference is given."""
        return ("models",) if self.reference else ("models", "reference_logps")

    def options(self, *, stored_only: bool = False) -> dict[str, Any]:
        """Return the options; in the store, models are named by their weights, not their paths."""
        options = super().options(stored_only=stored_only)
        paths = ("model", "reference", "revision") if stored_only else ()
        return {name: value for name, value in options.items() if name not in paths}

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what names the weights of the model and of its own reference."""
        reference = model_fingerprint(self.reference) if self.reference else None
        own = self.tokenizer == "own"
        return {
            "model": model_fingerprint(self.model, revision=self.revision, with_tokenizer=own),
            "reference": reference,
        }

    def validate(self) -> None:
        """Refuse a folder that holds no model."""
        for named in (self.model, self.reference):
            if named is not None:
                resolve_model_path(named)

    def setup(self, context: ScoringContext) -> None:
        """Load the model, and its own reference if it has one; refuse tokenizers that differ."""
        self._context = context
        self._tokenizer = None
        if self.tokenizer == "own":
            self._tokenizer = context.load_tokenizer(self.model, revision=self.revision)
        else:
            context.require_same_tokenizer(
                self.model,
                revision=self.revision,
                next_step="Use a model with the policy's tokenizer, or align the two by "
                "characters: --reward-arg tokenizer=own --reward-arg reference=MODEL (what this "
                "model was trained from).",
            )
        self._model = context.load_causal_lm(self.model, revision=self.revision)
        self._reference = None
        if self.reference:
            context.require_same_tokenizer(self.reference, tokenizer=self._tokenizer)
            self._reference = context.load_causal_lm(self.reference)

    def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return log pi_model - log pi_reference of response tokens, or its sums over steps."""
        read = batch
        if self._tokenizer is not None:
            read = self._context.retokenize(batch, self._tokenizer)
        logratios = self._logratios(read)
        if self.granularity != "token":
            triples = zip(batch, read, logratios, strict=True)
            return [self._summed(example, own, values) for example, own, values in triples]
        if self._tokenizer is None:
            return logratios
        return [_spans(own, values) for own, values in zip(read, logratios, strict=True)]

    def _logratios(self, batch: Sequence[Example]) -> "list[torch.Tensor]":
        logps = self._context.token_logps(self._model, batch)
        if self._reference is None:
            reference: Sequence[Any] = [example.shared["reference_logps"] for example in batch]
        else:
            reference = self._context.token_logps(self._reference, batch)
        return [a - b for a, b in zip(logps, reference, strict=True)]

    def _summed(self, example: Example, read: Example, values: "torch.Tensor") -> Any:
        separator = self.step_separator if self.granularity == "step" else None
        return step_sums(
            values.numpy(),
            read.offsets,
            onto=example.offsets,
            ends=step_ends(example.response, separator),
            place=self.place,
        )

    def teardown(self) -> None:
        """Let go of the models."""
        self._model = self._reference = self._tokenizer = None

    def scale(self, beta: float) -> float:
        """Return the reward's beta."""
        return beta if self.beta is None else self.beta


def _spans(read: Example, values: "torch.Tensor") -> Spans:
    """Return values of another tokenizer's tokens on the characters that these own."""
    items = zip(read.offsets, values.tolist(), strict=True)
    return Spans([(start, end, value) for (start, end), value in items], how="sum")
