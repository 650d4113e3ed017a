"""The engine ``transformers``: a model in this process, answered in batches.

What is drawn is what ``Sampling`` says and nothing else: settings of the model's
generation_config.json (temperature, top-k, top-p, penalties, suppressed tokens, lengths) have no
effect, because the scores of two models would otherwise be of two different procedures. Only the
ids that end an answer are taken from there, see ``stop_ids``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from tgdpo_core.data.model_text import encode_prompts
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.engine import attention
from tgdpo_core.errors import DataError
from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.choosing import SeededChoice
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.own_settings import own_settings_unused
from tgdpo_core.generation.prefill import Prefilled, is_sharded, prefill
from tgdpo_core.generation.prompts import formed
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.generation.stopping import is_stop, stop_ids, until_stop
from tgdpo_core.models.fingerprints import loaded_model_fingerprint, tokenizer_fingerprint
from tgdpo_core.models.precision import Precision


class InProcess(Engine):
    """Answers of a model in this process.

    Answers to one prompt that are drawn together share its forward pass. The random state of the
    caller stays as it is.

    Args:
        model: a causal language model on its device; it is in eval mode afterwards.
        tokenizer: its tokenizer.
        precision: the number formats it is called in.
        batch_size: answers drawn together.
        identity: JSON that names the model's weights; None: a hash of its tensors.

    Attributes:
        stops: the ids that end an answer.
    """

    name = "transformers"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        precision: Precision,
        batch_size: int = 64,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.together = batch_size
        self.model = model
        self.tokenizer = tokenizer
        self.precision = precision
        self.stops = stop_ids(model, tokenizer)
        self._identity = identity

    def document(self) -> Mapping[str, Any]:
        """Return the model's weights, its tokenizer, its stops and the precision."""
        return {
            "engine": self.name,
            "model": self._identity or loaded_model_fingerprint(self.model),
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
            "stops": list(self.stops),
            "precision": self.precision.document(),
            "device": self.model.device.type,
        }

    def lay_out(self, prompts: Sequence[PreferencePair], sampling: Sampling) -> list[Any]:
        """Return the token ids of prompts, as in training.

        Raises:
            DataError: one cannot be laid out, or leaves no room for the longest answer.
        """
        ids = prompt_ids(prompts, self.tokenizer, sampling)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        require_room(prompts, ids, sampling, limit)
        return ids

    def length(self, prompt: Any) -> int:
        """Return how many tokens a prompt has."""
        return len(prompt)

    @torch.no_grad()
    def draw(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Drawn]]:
        """Yield the answers batch by batch, the longest prompts first."""
        self.model.eval()
        order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].prompt), i))
        for start in range(0, len(order), self.together):
            numbers = order[start : start + self.together]
            batch = [requests[i] for i in numbers]
            yield from zip(numbers, self._batch(batch, sampling), strict=True)

    def _batch(self, batch: Sequence[Request], sampling: Sampling) -> list[Drawn]:
        """Return the answers to some requests, drawn together."""
        model = self.model
        # One autocast around everything: weights are cast once, not for every token.
        with (
            self.precision.active(model.device),
            own_settings_unused(model),
            # Of a model wrapped by peft, `generate` goes past the forward that would put it back.
            attention.use(model, attention.plain_implementation(model)),
        ):
            begun = prefill(model, self.tokenizer, [request.prompt for request in batch])
            ids = self._generate(begun, [request.seed for request in batch], sampling)
        answers = ids[:, begun.input_ids.shape[1] :]
        return self._drawn(answers, [request.seed for request in batch])

    def _generate(
        self, begun: Prefilled, seeds: Sequence[int | None], sampling: Sampling
    ) -> torch.Tensor:
        from transformers import GenerationConfig, LogitsProcessorList

        choice = SeededChoice(
            seeds,
            begun.input_ids.shape[1],
            temperature=sampling.temperature,
            top_p=sampling.top_p,
        )
        how = GenerationConfig(
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=list(self.stops),
        )
        ids: torch.Tensor = self.model.generate(
            **begun.inputs(),
            generation_config=how,
            logits_processor=LogitsProcessorList([choice]),
            # Processes of a sharded model meet at every token, until the last of them is done.
            synced_gpus=is_sharded(self.model),
        )
        return ids

    def _drawn(self, answers: torch.Tensor, seeds: Sequence[int | None]) -> list[Drawn]:
        counts = until_stop(answers, self.stops).sum(1).tolist()
        ends = is_stop(answers, self.stops).any(1).tolist()
        return [
            drawn_of(row[:count], finished=end, seed=seed, tokenizer=self.tokenizer)
            for row, count, end, seed in zip(answers.tolist(), counts, ends, seeds, strict=True)
        ]


def drawn_of(ids: Sequence[int], *, finished: bool, seed: int | None, tokenizer: Any) -> Drawn:
    """Return an answer from its token ids.

    Args:
        ids: the one that ended it, which may be any, included.
        finished: whether the last of them ended it.
        seed: of the draw.
        tokenizer: of the model.
    """
    said = ids[:-1] if finished else ids
    text = tokenizer.decode(list(said), skip_special_tokens=True)
    return Drawn(Answer(text, finished, len(ids), seed), tuple(ids))


def prompt_ids(
    prompts: Sequence[PreferencePair], tokenizer: Any, sampling: Sampling
) -> list[list[int]]:
    """Return the token ids of prompts in the form that is asked for.

    Raises:
        DataError: one cannot be laid out.
    """
    return encode_prompts(formed(prompts, sampling), tokenizer) if prompts else []


def require_room(
    prompts: Sequence[PreferencePair],
    ids: Sequence[Sequence[int]],
    sampling: Sampling,
    limit: int | None,
) -> None:
    """Raise ``DataError`` for prompts that leave no room for the longest answer.

    Args:
        prompts: rows, for their places.
        ids: of the prompts.
        sampling: how long an answer may become.
        limit: positions of the model, or None.
    """
    room = (limit or 0) - sampling.max_new_tokens
    long = [i for i, each in enumerate(ids) if limit and len(each) > room]
    if long:
        first = max(long, key=lambda i: len(ids[i]))
        raise DataError(
            f"{len(long)} of {len(ids)} prompts are too long: {prompts[first].where} has "
            f"{len(ids[first])} tokens, and {limit} positions of the model, less "
            f"{sampling.max_new_tokens} for the answer, leave {room}. Take them out, or ask for "
            "shorter answers (max_new_tokens)."
        )
