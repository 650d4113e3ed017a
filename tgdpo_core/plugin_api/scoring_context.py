"""What a token reward may use while it is set up and while it scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tgdpo_core.plugin_api.rewards import Example

if TYPE_CHECKING:
    import torch


class ScoringContext(Protocol):
    """What ``TokenReward.setup`` may use."""

    def log_metric(self, name: str, value: float) -> None:
        """Note a number: the mean since the last log row is logged as ``reward/SOURCE/NAME``.

        Of a source that is stored, the mean over the scoring pass stands in run.json.
        """

    def computes_in(self, dtype: "torch.dtype") -> None:
        """Say in ``setup`` in which format a model computes that you load yourself.

        Answers are asked for twice and compared: formats of two bytes are let round more.
        """

    device: "torch.device"
    dtype: "torch.dtype"
    tokenizer: Any
    """The policy's tokenizer."""
    artifacts: Path
    """Folder of what ``prepare`` left; written to there, read from in ``setup``."""

    def load_causal_lm(self, name_or_path: str, *, revision: str | None = None) -> Any:
        """Return a frozen causal language model on ``device``, loaded once per scoring pass.

        ``name_or_path`` is a finished run folder, a local model folder or a Hub id.
        """

    def load_tokenizer(self, name_or_path: str, *, revision: str | None = None) -> Any:
        """Return a model's own fast tokenizer; ``PluginError`` if it has none with EOS."""

    def require_same_tokenizer(
        self,
        name_or_path: str,
        *,
        revision: str | None = None,
        tokenizer: Any = None,
        next_step: str = "Use a model with the same tokenizer.",
    ) -> None:
        """Raise ``PluginError`` unless a model's tokenizer gives the token ids of another one.

        Args:
            name_or_path: the model.
            revision: its Hub revision.
            tokenizer: the other one; None is the policy's.
            next_step: what the message advises.
        """

    def retokenize(self, batch: Sequence[Example], tokenizer: Any) -> list[Example]:
        """Return the examples in another tokenizer's tokens, laid out by its chat template.

        ``response`` stays the policy's text and ``offsets`` index into it, so values of the new
        tokens go back to the policy's as ``Spans`` on those offsets. ``prompt_ids`` and
        ``response_ids`` fit ``token_logps`` of a model with that tokenizer.
        """

    def token_logps(self, model: Any, batch: Sequence[Example]) -> "list[torch.Tensor]":
        """Return log-probabilities of the response tokens under ``model``.

        One float32 tensor of shape ``[len(response_ids)]`` per example, computed by the engine
        that also computes the policy's.
        """
