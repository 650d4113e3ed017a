"""The token reward ``dense-prm``: process reward models and other dense reward models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tgdpo_core import (
    Example,
    ScoringContext,
    Spans,
    TokenReward,
    model_fingerprint,
    option,
    resolve_model_path,
)
from tgdpo_plugins.token_rewards.dense_prm.presets import PRESETS, Output, Placement, Preset

if TYPE_CHECKING:
    import numpy as np

    from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading
    from tgdpo_plugins.token_rewards.dense_prm.steps import Steps


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
    output: Output | None = option(
        None, help="prob, signed = 2p - 1, logit = log p/(1-p), value; unset: logit, or value"
    )
    placement: Placement | None = option(
        None,
        help="how the value of a step goes to its tokens; delta: its change; unset: broadcast, and "
        "delta for sequence-reward",
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
    trust_remote_code: bool = option(
        False, help="run code that the model repository brings; no preset needs it"
    )
    allow_pickle: bool = option(False, help="read weights that are not safetensors", stored=False)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.preset not in PRESETS:
            raise ValueError(f"no preset '{self.preset}'. Presets: {', '.join(PRESETS)}")
        if not 0 < self.clip < 0.5:
            raise ValueError(f"clip must be between 0 and 0.5, got {self.clip}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.step_separator is not None and (
            not self.step_separator or "\\n" in self.step_separator
        ):
            raise ValueError(
                f"step_separator={self.step_separator!r} ends no step: a line break is one "
                "character; in a shell write $'step_separator=\\n\\n'"
            )
        if self._reads_tokens and self.placement in ("last", "spread"):
            raise ValueError(
                f"preset={self.preset} reads every token: placement={self.placement} has no steps "
                "to place; use broadcast (each token's own value) or delta"
            )
        if self._reads_tokens and self.step_separator is not None:
            raise ValueError(f"preset={self.preset} reads every token and knows no steps")

    @property
    def _format(self) -> Preset:
        return PRESETS[self.preset]

    @property
    def _reads_tokens(self) -> bool:
        return self._format.layout == "tokens"

    @property
    def _placement(self) -> Placement:
        return self.placement or self._format.placement

    @property
    def _output(self) -> Output:
        return self.output or ("value" if self._model.is_value else "logit")

    def options(self, *, stored_only: bool = False) -> dict[str, Any]:
        """Return the options; in the store, the model is named by its weights, not its path."""
        options = super().options(stored_only=stored_only)
        paths = ("model", "revision") if stored_only else ()
        return {name: value for name, value in options.items() if name not in paths}

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what names the weights and the tokenizer, and the preset written out."""
        model = model_fingerprint(self.model, revision=self.revision, with_tokenizer=True)
        return {"model": model, "format": asdict(self._format)}

    def validate(self) -> None:
        """Refuse a folder that holds no model."""
        resolve_model_path(self.model)

    def setup(self, context: ScoringContext) -> None:
        """Load the reward model and its tokenizer."""
        import torch

        from tgdpo_plugins.token_rewards.dense_prm.heads import Source, load_reward_model

        self._context = context
        self._tokenizer = context.load_tokenizer(self.model, revision=self.revision)
        dtype = context.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        context.computes_in(dtype)
        source = Source(
            path=self.model,
            revision=self.revision,
            dtype=dtype,
            device=context.device,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
            good_label=self.good_label,
        )
        try:
            self._model: Any = load_reward_model(source, self._format, self._tokenizer)
        except (OSError, ValueError, RuntimeError) as error:
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
        return self._token_values(batch) if self._reads_tokens else self._step_values(batch)

    def _step_values(self, batch: Sequence[Example]) -> list[Any]:
        from tgdpo_plugins.token_rewards.dense_prm.expression import NEUTRAL, express, place_steps

        found = [self._steps(example) for example in batch]
        values = self._read([reading for _, reading in found])
        output = self._output
        return [
            place_steps(
                express(z, output, clip=self.clip),
                steps.ends,
                example.offsets,
                self._placement,
                neutral=NEUTRAL[output],
            )
            for example, (steps, _), z in zip(batch, found, values, strict=True)
        ]

    def _steps(self, example: Example) -> "tuple[Steps, Reading]":
        from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading, read_steps
        from tgdpo_plugins.token_rewards.dense_prm.steps import steps_of

        steps = steps_of(example, self.step_separator or self._format.step_separator)
        if not steps.texts:
            return steps, Reading([], [])
        try:
            return steps, read_steps(example, steps.texts, self._tokenizer, self._format)
        except ValueError as error:
            where = f"the {example.side} response {example.response[:40]!r}"
            raise ValueError(f"{where}, preset {self.preset}: {error}") from error

    def _token_values(self, batch: Sequence[Example]) -> list[Any]:
        import numpy as np

        from tgdpo_plugins.token_rewards.dense_prm.expression import express
        from tgdpo_plugins.token_rewards.dense_prm.layouts import Reading

        # One by one: a batch is laid out like its first example, as text or as messages.
        read = [self._context.retokenize([e], self._tokenizer)[0] for e in batch]
        readings = [
            # One position in front of the response: what a change is measured from.
            Reading(ids := [*e.prompt_ids, *e.response_ids], range(len(e.prompt_ids) - 1, len(ids)))
            for e in read
        ]
        is_delta = self._placement == "delta"
        results = []
        for example, z in zip(read, self._read(readings), strict=True):
            values = express(z, self._output, clip=self.clip)
            values = np.diff(values) if is_delta else values[1:]
            items = [(a, b, v) for (a, b), v in zip(example.offsets, values.tolist(), strict=True)]
            results.append(Spans(items, how="sum" if is_delta else "mean"))
        return results

    def _read(self, readings: "Sequence[Reading]") -> "Iterator[np.ndarray[Any, Any]]":
        """Yield z at the positions of each input, float32."""
        import numpy as np
        import torch

        device = self._context.device
        for start in range(0, len(readings), self.batch_size):
            batch = readings[start : start + self.batch_size]
            self._require_room(max(len(reading.ids) for reading in batch))
            union = sorted({position for reading in batch for position in reading.positions})
            if not union:
                yield from (np.zeros(0, np.float32) for _ in batch)
                continue
            rows = [torch.tensor(reading.ids, dtype=torch.long) for reading in batch]
            mask = [torch.ones_like(row) for row in rows]
            # Causal models: what is padded on the right is never looked at.
            padded = (torch.nn.utils.rnn.pad_sequence(of, batch_first=True) for of in (rows, mask))
            with torch.no_grad():
                z = self._model.read(
                    *(t.to(device) for t in padded), torch.tensor(union).to(device)
                )
            for reading, row in zip(batch, z.float().cpu().numpy(), strict=True):
                yield row[np.searchsorted(union, list(reading.positions))]

    def _require_room(self, num_tokens: int) -> None:
        limit = self._model.max_positions
        if limit and num_tokens > limit:
            raise ValueError(
                f"an input of {num_tokens} tokens; model '{self.model}' has {limit} positions. "
                "Shorten the data (data.max_length) or use a model for longer texts"
            )
