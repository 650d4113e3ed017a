"""The playground's tokenizer: one token per piece of the task, 25 in all."""

from typing import TYPE_CHECKING

from tgdpo_plugins.playground.task import DIGITS, FILLERS, OPERATORS, PIECE_PATTERN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
TOKENS = (*DIGITS, *OPERATORS, "=", BOS, EOS, PAD, *FILLERS)
"""Tokens in the order of their ids."""
MAX_NUM_TOKENS = 64  # a prompt with an answer has 39 at most


def make_tokenizer() -> "PreTrainedTokenizerFast":
    """Return the tokenizer.

    Pieces are found by a local rule, so the ids of a prompt are always a prefix of the ids of the
    prompt with a response. BOS is added in front, EOS never. Text outside the task is an error of
    the tokenizer: there is no token for the unknown.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: i for i, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordLevel(ids))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE_PATTERN), behavior="isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, ids[BOS])]
    )
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=MAX_NUM_TOKENS,
        clean_up_tokenization_spaces=False,
    )
