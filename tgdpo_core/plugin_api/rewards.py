"""What a token-reward plugin is given, and what it gives back.

A plugin scores one response at a time or in batches; it never sees padding, masks or shifted
labels. The core calls it in a pass of its own before training, checks what it returns, and stores
it per token.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tgdpo_core.plugin_api.contents import content_in
from tgdpo_core.plugin_api.options import Options

if TYPE_CHECKING:
    import torch

    from tgdpo_core.plugin_api.scoring_context import ScoringContext

Side = Literal["chosen", "rejected"]
Phase = Literal["train", "statistics", "eval"]
Reduction = Literal["mean", "sum", "max", "last"]
SpecialTokensInText = Literal["auto", "text", "keep", "error"]


@dataclass(frozen=True)
class Spans:
    """Values on character ranges of ``Example.response``; the core turns them into token values.

    Use it when the values come from another tokenizer, a step splitter, a regular expression or a
    person: no token id of the policy is needed.

    Args:
        items: ``(start, end, value)`` with ``0 <= start <= end <= len(response)``, end exclusive.
        how: how a token that several values touch gets its own: ``mean`` for intensive values
            (probabilities), ``sum`` for additive ones (log-ratios; each value is spread over its
            characters and the total is conserved), ``max``, or ``last``.
        fill: the value of a token that no span touches.
    """

    items: Sequence[tuple[int, int, float]]
    how: Reduction = "mean"
    fill: float = 0.0


@dataclass(frozen=True)
class Example:
    """One response of a preference pair, as it will be trained.

    Attributes:
        uid: stable name of the response: a hash of prompt, response and side, not a row index.
        side: ``chosen`` or ``rejected``.
        prompt: the prompt as the data set has it: text, or a list of messages.
        response: exactly the text that ``response_ids`` covers (a chat template's closing marks
            included), so that ``offsets`` index into it.
        prompt_ids: token ids of the prompt, as trained.
        response_ids: token ids of the response, as trained (after truncation, EOS included).
        offsets: one ``(start, end)`` character range of ``response`` per response token.
        num_untruncated: how many response tokens there were before truncation.
        raw_response: the response as the data set has it, not truncated: text, or a list of
            messages.
        tools: tool descriptions for a chat template, or None.
        template_kwargs: further variables that the chat template was given.
        special_tokens: what special tokens written in the row's own text are (the recipe's
            ``data.special_tokens``).
        finished: whether the response ends; False: the row says that it goes on, and it has no EOS.
        columns: the data-set columns that the plugin asked for with ``column:NAME``.
        shared: per-token values that the core computed because the plugin asked for them;
            ``shared["reference_logps"][t]`` belongs to ``response_ids[t]``; a ``dynamic`` source
            also gets ``shared["policy_logps"]`` and what it needs of the policy's distribution.
    """

    uid: str
    side: Side
    prompt: Any
    response: str
    prompt_ids: Sequence[int]
    response_ids: Sequence[int]
    offsets: Sequence[tuple[int, int]]
    num_untruncated: int = 0
    raw_response: Any = ""
    tools: Sequence[Any] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    special_tokens: SpecialTokensInText = "auto"
    finished: bool = True
    columns: Mapping[str, Any] = field(default_factory=dict)
    shared: "Mapping[str, torch.Tensor]" = field(default_factory=dict)

    @property
    def is_cut(self) -> bool:
        """Whether the response was truncated."""
        return len(self.response_ids) < self.num_untruncated

    def content(self) -> tuple[int, str]:
        """Return where the content begins in ``response``, and all of it, also what was cut.

        The content is what the data set has, without the marks that a chat template adds.

        Raises:
            ValueError: the response is not one text, or a chat template rewrote it.
        """
        return content_in(self.response, self.raw_response, is_cut=self.is_cut)


@dataclass(frozen=True)
class Cost:
    """What asking a reward costs; shown while it is asked, and kept in run.json.

    Args:
        per_call: money for one call.
        per_1k_tokens: money for a thousand tokens of prompt and response, counted by the policy's
            tokenizer, so an estimate where the server counts by another one.
        currency: as it is shown.
    """

    per_call: float = 0.0
    per_1k_tokens: float = 0.0
    currency: str = "USD"

    def of(self, *, calls: float, tokens: float) -> float:
        """Return what some calls with some tokens in all cost."""
        return self.per_call * calls + self.per_1k_tokens * tokens / 1000


RewardResult = Any  # per example: 1-D floats (list, numpy, tensor) of len(response_ids), or Spans


_NOT_TRAINING: Phase = "statistics"


class TokenReward(Options):
    """Base of a token-reward source; only ``score`` or ``score_one`` must be written.

    Annotated fields are its options (see ``option``). The life of an instance: built from options,
    ``validate``, then ``fingerprint`` and a look-up in the store; only if something is missing:
    ``setup``, ``score`` on batches, ``teardown``. So a reward model never shares memory with
    training.

    ``setup``, ``score``, ``score_one`` and ``teardown`` may be ``async def``. Calls that are, and
    those of a class with ``concurrency`` above 1, overlap; every answer is stored as it comes.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """What ``score`` uses besides the text: ``reference_logps`` (in ``Example.shared``),
    ``reference_entropy``, ``reference_top:K``, ``column:NAME`` (in ``Example.columns``), ``models``
    (``context.load_causal_lm``). A dynamic source may also name what is computed of the policy's
    whole distribution: ``policy_entropy``, ``policy_top:K``, ``kl_reference_policy``,
    ``kl_policy_reference``, and ``vocabulary``: what ``over_vocabulary`` returns."""

    dynamic: ClassVar[bool] = False
    """True: the reward depends on the policy as it is now. It is scored at every step, with
    ``Example.shared["policy_logps"]`` (detached), and never stored; transforms that are fitted on
    the training set do not go with it."""

    store_version: ClassVar[int] = 1
    """Raise it when scores change, so that stored ones are not used again."""

    store_identity: ClassVar[str | None] = None
    """Names the code in the store's key in place of its version and files: values are kept until
    you change it, whatever else of the code changes. For rewards that cost money, say."""

    batch_size = 0
    """Most responses in one call of ``score``; 0: as many as fit a pass, one where calls overlap.
    It may be an option: ``batch_size: int = option(8, help=..., stored=False)``."""

    concurrency = 0
    """Most calls under way at once; 0: one, and 16 of an ``async`` method. It may be an option. A
    method that is not ``async`` is then called from that many threads."""

    cost_note: ClassVar[Cost | str] = ""
    """What asking costs: a ``Cost``, or words that are shown as they are."""

    def cost(self) -> Cost | str:
        """Return ``cost_note``; override it where the cost depends on the options."""
        return self.cost_note

    def required(self) -> tuple[str, ...]:
        """Return ``needs``; override it where the needs depend on the options."""
        return self.needs

    def fingerprint(self) -> Mapping[str, Any]:
        """Return JSON values that decide the scores beyond the options, e.g. a hash of weights.

        Called before ``setup``; load nothing here.
        """
        return {}

    def validate(self) -> None:
        """Raise ``ValueError`` for what is wrong and can be seen without loading anything.

        Called by ``tgdpo validate`` and before every run, with the options set: a path that is not
        there, say. Import no torch here; columns that ``required()`` names are looked for anyway.
        """

    def prepare(self, context: "ScoringContext", examples: Sequence[Example]) -> None:
        """Fit to the training set, once, before anything is scored; implement it where needed.

        What is learnt goes into files in ``context.artifacts``: safetensors, JSON, plain text or
        arrays, no pickles. ``setup`` reads them there, in this process, in others, and in later
        runs: nothing else of the instance is kept. The training set is part of the store's key.

        Args:
            context: as in ``setup``.
            examples: every response of the training set, chosen and rejected ones in turn, with
                what ``required()`` names; made one at a time when asked for.
        """

    def setup(self, context: "ScoringContext") -> Awaitable[None] | None:
        """Load what ``score`` needs."""

    def score(
        self, batch: Sequence[Example]
    ) -> Sequence[RewardResult] | Awaitable[Sequence[RewardResult]]:
        """Return one result per example: 1-D values, one per response token, or ``Spans``."""
        return [self.score_one(example) for example in batch]

    def over_vocabulary(
        self, log_p: "torch.Tensor", log_q: "torch.Tensor"
    ) -> "Mapping[str, torch.Tensor]":
        """Return values of some response tokens by name, for ``Example.shared``.

        Called if a dynamic source needs ``vocabulary``, on some tokens at a time, without gradient.

        Args:
            log_p: log pi, [n, V].
            log_q: log pi_ref, [n, V].

        Returns:
            [n] or [n, k] each.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement over_vocabulary")

    def score_one(self, example: Example) -> RewardResult:
        """Return the result of one example; written instead of ``score``."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement score(batch) or score_one(example)"
        )

    phase = _NOT_TRAINING
    """What ``score`` of a dynamic reward is called for, set before every call: ``train``, once a
    step for each of its pairs; ``statistics``, before training; ``eval``. Learn in ``train`` alone:
    a state that changes elsewhere is an error."""

    def on_step_end(self, step: int) -> None:
        """Learn from what ``score`` was given in this step; after the policy's update.

        Every process of a run calls it, at the same step, so they may exchange what they saw
        (``torch.distributed``). Only for a dynamic reward, with ``state_dict``.

        Args:
            step: optimizer steps done, counted from 1.
        """

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a dynamic reward has learnt; saved with every checkpoint.

        Tensors, numbers, text, None, and lists, tuples and dicts of these (so what
        ``torch.optim.Optimizer.state_dict`` returns).
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` returned, tensors on the CPU; called after ``setup``."""

    def teardown(self) -> Awaitable[None] | None:
        """Free what ``setup`` loaded; may be called twice."""

    def scale(self, beta: float) -> float:
        """Return the factor on the stored values, given the ``beta`` of the run (default 1).

        It acts after the store: a source that is proportional to beta need not score again when
        beta changes.
        """
        return 1.0
