"""Where an answer ends: the ids that the model, its tokenizer or its chat template end one with.

No single place knows them all. Gemma's tokenizer names ``<eos>`` and its turns end with
``<end_of_turn>``; Llama 3 has three ids in generation_config.json; a model that was saved with its
template alone has them nowhere else.
"""

import functools
import logging
from collections.abc import Collection, Iterable
from typing import Any

import torch

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.data.report import RowProblem
from tgdpo_core.data.templates import DATE, ChatTemplate
from tgdpo_core.errors import TgdpoError, UsageError

logger = logging.getLogger(__name__)

_MARK = "Quetzalcoatl"  # an answer that no template has words of


def stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end an answer of a model in this process, see ``configured_stop_ids``.

    Raises:
        UsageError: nothing ends an answer, or text does (``stop_strings``), which is no id.
    """
    configs = (model.generation_config, model.config, model.config.get_text_config())
    return configured_stop_ids(configs, tokenizer)


def configured_stop_ids(configs: Iterable[Any], tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end an answer, in ascending order.

    The union of ``eos_token_id`` of the tokenizer, of the model's generation config and of its
    config (one id or several), and of the special or added token that the chat template writes
    right behind an assistant's content.

    Args:
        configs: what the model has: its generation config, its config, its text config; or None.
        tokenizer: its tokenizer.

    Raises:
        UsageError: nothing ends an answer, or text does (``stop_strings``), which is no id.
    """
    sources = [tokenizer, *configs]
    for source in sources:
        if strings := getattr(source, "stop_strings", None):
            raise UsageError(
                f"generation_config.json of the model ends answers at text, "
                f"stop_strings={strings!r}; answers are ended at token ids only. Remove "
                "stop_strings, and add the id to its eos_token_id if the text is one token."
            )
    ends = _tokens(tokenizer)
    found = {
        int(number)
        for source in sources
        for number in _several(getattr(source, "eos_token_id", None))
    }
    if (end := _turn_end(tokenizer, ends)) is not None:
        found.add(end)
    if not found:
        raise UsageError(
            "Nothing says where an answer ends: neither the tokenizer nor the model has an EOS "
            "token. Set eos_token in tokenizer_config.json, or eos_token_id in "
            "generation_config.json."
        )
    if words := sorted(found - set(ends.values())):
        say_once(
            f"Answers also end at {', '.join(map(str, words))} "
            f"({', '.join(repr(tokenizer.decode([word])) for word in words)}), which the model's "
            "config names as eos_token_id and the tokenizer takes for an ordinary token."
        )
    return tuple(sorted(found))


def is_stop(ids: torch.Tensor, stops: Collection[int]) -> torch.Tensor:
    """Return which ids end an answer, bool of the same shape."""
    return torch.isin(ids, torch.tensor(sorted(stops), device=ids.device))


def until_stop(answers: torch.Tensor, stops: Collection[int]) -> torch.Tensor:
    """Return which tokens belong to their answer: up to the first stop id, that included.

    Args:
        answers: [B, T] int64, what was generated.
        stops: the ids that end an answer.

    Returns:
        [B, T] bool.
    """
    ends = is_stop(answers, stops).long()
    return ends.cumsum(1) - ends == 0


@functools.cache
def say_once(message: str) -> None:
    """Log a message, the first time that it is to be said."""
    logger.warning("%s", message)


def _several(ids: Any) -> Iterable[Any]:
    """Return ids that are none, one or several."""
    if ids is None:
        return ()
    return (ids,) if isinstance(ids, int) else ids


def _tokens(tokenizer: Any) -> dict[str, int]:
    """Return the special and the added tokens with their ids."""
    special = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return {**tokenizer.get_added_vocab(), **dict(special)}


def _turn_end(tokenizer: Any, tokens: dict[str, int]) -> int | None:
    """Return the id that the chat template ends an assistant's turn with, if it is one token."""
    if not tokenizer.chat_template:
        return None
    turn = {"role": "assistant", "content": _MARK}
    prompt = [{"role": "user", "content": "?"}]
    problem: Exception | None = None
    # A template that writes today's date is refused without one: any will do here.
    for variables in ({}, {DATE: "2000-01-01"}):
        pair = PreferencePair(prompt, [turn], [turn], "a short chat", template_kwargs=variables)
        try:
            text = ChatTemplate(tokenizer).render(pair, [*prompt, turn])
            break
        except (TgdpoError, RowProblem) as error:
            problem = problem or error
    else:
        say_once(f"Where the chat template ends a turn cannot be seen: {problem}")
        return None
    _, found, behind = text.rpartition(_MARK)
    behind = behind.lstrip()
    at_front = [token for token in tokens if token and found and behind.startswith(token)]
    return tokens[max(at_front, key=len)] if at_front else None
