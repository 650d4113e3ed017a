"""Lengths of answers in tokens, as Arena-Hard writes them beside the answers."""

from collections.abc import Callable
from typing import Literal

from tgdpo_core.errors import UsageError
from tgdpo_core.exchange.questions import Form
from tgdpo_core.generation.answers import Answer

TokenCount = Literal["tiktoken", "model"]

# The model whose tokens Arena-Hard counts, and the vocabulary that it has.
_COUNTED_AS = {
    "arena-hard-v0.1": ("gpt-3.5-turbo", "cl100k_base"),
    "arena-hard-v2.0": ("gpt-4o", "o200k_base"),
}


def token_lengths(count: TokenCount, form: Form) -> Callable[[Answer], int]:
    """Return what gives the length of an answer.

    Args:
        count: ``tiktoken``: as Arena-Hard counts, whatever the model; ``model``: in the model's own
            tokens, without the one that ended the answer.
        form: the version of Arena-Hard.

    Raises:
        UsageError: tiktoken or its vocabulary is not there.
    """
    if count == "model":
        return lambda answer: max(0, answer.num_tokens - answer.finished)
    model, vocabulary = _COUNTED_AS[form]
    otherwise = (
        "Or --token-count model: the model's own tokens, of which Arena-Hard's table of average "
        "lengths and its style control are then made."
    )
    try:
        import tiktoken
    except ImportError as error:
        raise UsageError(
            f"{form} counts tokens as {model}, by tiktoken, which is not installed: "
            f"pip install 'tgdpo[arena-hard]'. {otherwise}"
        ) from error
    try:
        encoding = tiktoken.get_encoding(vocabulary)
    except Exception as error:  # it is downloaded: errors of requests, urllib3, the system
        raise UsageError(
            f"{form} counts tokens as {model}; tiktoken could not get the vocabulary {vocabulary} "
            f"({type(error).__name__}): it is downloaded once, into $TIKTOKEN_CACHE_DIR. "
            f"{otherwise}"
        ) from error
    return lambda answer: len(encoding.encode(answer.text.strip(), disallowed_special=()))
