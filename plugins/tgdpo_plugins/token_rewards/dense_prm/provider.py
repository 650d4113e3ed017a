"""The token reward ``dense-prm``: process reward models and other dense reward models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tgdpo_core import Example, ScoringContext, Spans, TokenReward, model_fingerprint, option
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS

if TYPE_CHECKING:
    import torch

    from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading


class DensePRM(TokenReward):
    """What a dense reward model says of every step or token, on the policy's tokens.

    A preset is the format of a family of models: what they read, where, and how. The model reads
    prompt and response in its own tokens; its values go to the policy's tokens by characters. A
    step keeps its separator; closing marks and EOS belong to the last step.

    How the reward is expressed decides as much as the model: see docs/dense-prm.md.
    """

    needs: ClassVar[tuple[str, ...]] = ("models",)

    model: str = option(help="local folder or Hub id of the reward model")
    preset: str = option(help="format of the model", choices=tuple(PRESETS))
    output: Literal["prob", "signed", "logit", "value"] | None = option(
        None, help="prob, signed = 2p - 1, logit = log p/(1-p), value; unset: logit, or value"
    )
    placement: Literal["broadcast", "last", "spread", "delta"] = option(
        "broadcast", help="how the value of a step goes to its tokens; delta: its change"
    )
    step_separator: str | None = option(
        None, help="ends a step; unset: the preset's; in a shell: $'step_separator=\\n\\n'"
    )
    good_label: str = option("1", help="which of two labels means good: its index or name")
    clip: float = option(0.001, help="output=logit keeps p in [clip, 1 - clip]")
    revision: str | None = option(None, help="Hub revision of the model")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", help="of the reward model; auto: the run's for frozen models"
    )
    batch_size: int = option(8, help="responses read together", stored=False)
    trust_remote_code: bool = option(False, help="run code that the model repository brings")

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if not 0 < self.clip < 0.5:
            raise ValueError(f"clip must be between 0 and 0.5, got {self.clip}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.step_separator == "":
            raise ValueError("step_separator must not be empty")
        if self._reads_tokens and self.placement in ("last", "spread"):
            raise ValueError(
                f"preset={self.preset} reads every token: placement={self.placement} has no steps "
                "to place; use broadcast (each token's own value) or delta"
            )
        if self._reads_tokens and self.step_separator is not None:
            raise ValueError(f"preset={self.preset} reads every token and knows no steps")

    @property
    def _reads_tokens(self) -> bool:
        return PRESETS[self.preset].layout == "tokens" if self.preset in PRESETS else False

    def options(self, *, stored_only: bool = False) -> dict[str, Any]:
        """Return the options; in the store, the model is named by its weights, not its path."""
        options = super().options(stored_only=stored_only)
        paths = ("model", "revision") if stored_only else ()
        return {name: value for name, value in options.items() if name not in paths}

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what names the weights and the tokenizer."""
        return {"model": model_fingerprint(self.model, revision=self.revision, with_tokenizer=True)}

    def setup(self, context: ScoringContext) -> None:
        """Load the reward model and its tokenizer."""
        import torch

        from tgdpo_plugins.token_rewards.dense_prm.heads import Source, load_reward_model

        self._context = context
        self._preset = PRESETS[self.preset]
        self._tokenizer = context.load_tokenizer(self.model, revision=self.revision)
        source = Source(
            path=self.model,
            revision=self.revision,
            dtype=context.dtype if self.dtype == "auto" else getattr(torch, self.dtype),
            device=context.device,
            trust_remote_code=self.trust_remote_code,
            good_label=self.good_label,
        )
        try:
            self._model: Any = load_reward_model(source, self._preset, self._tokenizer)
        except (OSError, ValueError) as error:
            raise ValueError(f"model '{self.model}', preset {self.preset}: {error}") from error
        if self._model.is_value and self.output not in (None, "value"):
            raise ValueError(
                f"model '{self.model}' gives a value without a probability; output={self.output} "
                "needs one. Leave output out, or use output=value"
            )

    def teardown(self) -> None:
        """Let go of the model."""
        self._model = self._tokenizer = None

    def score(self, batch: Sequence[Example]) -> list[Any]:
        """Return the values of every response, on the policy's tokens."""
        if self._reads_tokens:
            return self._token_values(batch)
        return self._step_values(batch)

    def _step_values(self, batch: Sequence[Example]) -> list[Any]:
        from tgdpo_plugins.token_rewards.dense_prm.expression import NEUTRAL, express, place_steps
        from tgdpo_plugins.token_rewards.dense_prm.layouts import read_steps
        from tgdpo_plugins.token_rewards.dense_prm.steps import steps_of

        separator = self.step_separator or self._preset.step_separator
        steps = [steps_of(example, separator) for example in batch]
        readings = [
            read_steps(example, of.texts, self._tokenizer, self._preset)
            for example, of in zip(batch, steps, strict=True)
        ]
        output = self._output
        return [
            place_steps(
                express(z[list(reading.positions)].numpy(), output, clip=self.clip),
                of.ends,
                example.offsets,
                self.placement,
                neutral=NEUTRAL[output],
            )
            for example, of, reading, z in zip(
                batch, steps, readings, self._read(readings), strict=True
            )
        ]

    def _token_values(self, batch: Sequence[Example]) -> list[Any]:
        import numpy as np

        from tgdpo_plugins.token_rewards.dense_prm.expression import express
        from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading

        read = self._context.retokenize(batch, self._tokenizer)
        readings = [
            # One position in front of the response: what a change is measured from.
            Reading(ids := [*e.prompt_ids, *e.response_ids], range(len(e.prompt_ids) - 1, len(ids)))
            for e in read
        ]
        results = []
        for example, reading, z in zip(read, readings, self._read(readings), strict=True):
            values = express(z[list(reading.positions)].numpy(), self._output, clip=self.clip)
            is_delta = self.placement == "delta"
            values = np.diff(values) if is_delta else values[1:]
            items = [(a, b, v) for (a, b), v in zip(example.offsets, values.tolist(), strict=True)]
            results.append(Spans(items, how="sum" if is_delta else "mean"))
        return results

    @property
    def _output(self) -> Literal["prob", "signed", "logit", "value"]:
        return self.output or ("value" if self._model.is_value else "logit")

    def _read(self, readings: "Sequence[Reading]") -> "Iterator[torch.Tensor]":
        """Yield z at every position of each input, [T] float32."""
        import torch

        limit = self._model.max_positions
        for start in range(0, len(readings), self.batch_size):
            batch = [torch.tensor(r.ids) for r in readings[start : start + self.batch_size]]
            longest = max(map(len, batch))
            if limit and longest > limit:
                raise ValueError(
                    f"an input of {longest} tokens; model '{self.model}' has {limit} positions. "
                    "Shorten the data (data.max_length) or use a model for longer texts"
                )
            ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True).to(self._context.device)
            lengths = torch.tensor([len(each) for each in batch], device=ids.device)
            mask = (torch.arange(longest, device=ids.device) < lengths[:, None]).long()
            with torch.no_grad():
                values = self._model.values(ids, mask)
            # Causal models: what is padded on the right is never looked at.
            yield from (row[: len(each)] for row, each in zip(values, batch, strict=True))
