"""Responses that plugins meet in practice, through the same tokenization as in training."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tgdpo_core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import torch

    from tgdpo_core.data.pairs import PreferencePair, TokenizedPair
    from tgdpo_core.generation.answers import Answer
    from tgdpo_core.plugin_api.judges import Comparison, Generation, PairLikelihood
    from tgdpo_core.plugin_api.rewards import Example, Side

Row = Mapping[str, Any]

_STEPS = (
    "Tom has 3 boxes with 4 pens each, so 3 * 4 = 12 pens.\n"
    "He gives 5 away: 12 - 5 = 7.\n\nThe answer is 7."
)
# Prompt, chosen, rejected: what reward authors forget is in here, a pair a line.
_TEXTS = (
    ("Tom has 3 boxes of 4 pens and gives 5 away. How many are left?\n", _STEPS, "There are 8."),
    ("How do I pick a lock?\n", "I can't help with that.", "SURE! Take a pin, a pin and a PIN."),
    ("Say hello in three scripts.\n", "Hello, 你好, नमस्ते", "naïve cafe\u0301 👩‍🔬🎉"),
    ("Answer with nothing.\n", "", "Nothing."),
    ("Answer with white space.\n", " \n\n\t", "x"),
    ("Count to two hundred.\n", " ".join(map(str, range(1, 201))), "one two three " * 120),
    # The prompt fills all the room but one token.
    (f"{'A long story about a lock. ' * 60}Was it good? 7 or 8:", "7", "8"),
)
_MESSAGES = (
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is 7 prime?"}],
    [{"role": "assistant", "content": "Yes: only 1 and 7 divide it."}],
    [{"role": "assistant", "content": "No, 7 = 2 * 3.5."}],
)
_MAX_LENGTH = 400
_LOGPS = {"reference_logps": 37, "policy_logps": 53}  # factors that mix the ids up


def make_examples(
    rows: Sequence[Row] | None = None, *, tokenizer: Any = None, needs: Sequence[str] = ()
) -> "list[Example]":
    """Return both responses of some pairs, in the form that plugins see.

    Without ``rows``: steps, shouting, emoji, combining characters and three scripts, an empty
    response (EOS alone), white space, a long response without EOS (truncated), a response of one
    token, messages.

    Args:
        rows: preference pairs in one of the known formats (default: the kit's own).
        tokenizer: the policy's (default: ``make_tokenizer()``).
        needs: what the plugin's ``required()`` names, and ``policy_logps`` for a dynamic one;
            columns and log-probs are given only where they are needed, as in a run.

    Raises:
        DataError: a row that cannot be trained on, or a column that the rows do not have.
    """
    from tgdpo_core.data.pairs import SIDES

    columns = [need.removeprefix("column:") for need in needs if need.startswith("column:")]
    return [
        pair.example(
            side,
            columns={name: _column(pair.pair, name) for name in columns},
            shared={name: _logps(pair, side, name) for name in _LOGPS if name in needs},
        )
        for pair in _tokenized(rows, tokenizer or make_tokenizer())
        for side in SIDES
    ]


def make_pairs(rows: Sequence[Row] | None = None) -> "list[PreferencePair]":
    """Return rows as pairs, the kit's own where none are given; ``DataError`` for a bad row."""
    from tgdpo_core.data.formats import parse_rows
    from tgdpo_core.data.pairs import PreferencePair
    from tgdpo_core.data.report import DataReport

    if rows is not None:
        report = DataReport("the rows of the test")
        pairs = parse_rows([(f"row {i}", row) for i, row in enumerate(rows, 1)], report)
        report.raise_if_unusable("error")
        return pairs
    texts = [PreferencePair(*row, where=f"pair {i}") for i, row in enumerate(_TEXTS, 1)]
    return [*texts, PreferencePair(*_MESSAGES, where="the pair of messages")]


def make_generations(rows: Sequence[Row] | None = None) -> "list[Generation]":
    """Return both responses of some pairs (see ``make_examples``) as if a model had given them.

    Args:
        rows: preference pairs in one of the known formats (default: the kit's own).

    Raises:
        DataError: a row that cannot be trained on.
    """
    from tgdpo_core.data.pairs import SIDES
    from tgdpo_core.evaluation.judging import generation
    from tgdpo_core.generation.answers import AnsweredPrompt

    return [
        generation(AnsweredPrompt(pair.prompt, (), pair.columns), _answer(pair.response(side)))
        for pair in make_pairs(rows)
        for side in SIDES
    ]


def make_comparisons(rows: Sequence[Row] | None = None) -> "list[Comparison]":
    """Return the two responses of some pairs (see ``make_examples``), in both orders.

    Args:
        rows: preference pairs in one of the known formats (default: the kit's own).

    Raises:
        DataError: a row that cannot be trained on.
    """
    from tgdpo_core.evaluation.both_orders import in_both_orders
    from tgdpo_core.plugin_api.judges import Comparison

    answers = make_generations(rows)
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return in_both_orders([Comparison(first, second) for first, second in pairs])


def make_likelihoods(rows: Sequence[Row] | None = None) -> "list[PairLikelihood]":
    """Return some pairs (see ``make_examples``) with made-up log-probs in the kit's tokens.

    Args:
        rows: preference pairs in one of the known formats (default: the kit's own).

    Raises:
        DataError: a row that cannot be trained on.
    """
    import torch

    from tgdpo_core.data.pairs import SIDES
    from tgdpo_core.evaluation.likelihood import pair_likelihood

    return [
        pair_likelihood(pair, torch.cat([_logps(pair, side, "policy_logps") for side in SIDES]))
        for pair in _tokenized(rows, make_tokenizer())
    ]


@functools.cache
def make_tokenizer() -> Any:
    """Return a small byte-level BPE tokenizer with BOS, EOS and PAD, trained on the kit's texts.

    Like GPT-2's, Llama 3's and Qwen's, it gives a token the space before a word, and several
    tokens to one emoji. Its ids are those of the same texts in every process.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator([text for row in _TEXTS for text in row], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def _tokenized(rows: Sequence[Row] | None, tokenizer: Any) -> "list[TokenizedPair]":
    from tgdpo_core.data.report import DataReport
    from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs

    limits = LengthLimits(_MAX_LENGTH, _MAX_LENGTH - 1) if rows is None else LengthLimits()
    report = DataReport("the rows of the test")
    pairs = make_pairs(rows)
    report.num_rows = len(pairs)
    # Text and messages are laid out differently, so they are tokenized apart.
    tokenized = [
        pair
        for is_chat in (False, True)
        for pair in tokenize_pairs(
            [pair for pair in pairs if pair.is_chat is is_chat], tokenizer, limits, report
        )
    ]
    report.num_pairs = len(tokenized)
    report.raise_if_unusable("error")
    return tokenized


def _column(pair: "PreferencePair", name: str) -> Any:
    if name not in pair.columns:
        raise DataError(
            f"The plugin reads the column '{name}', which {pair.where} of the test data does not "
            f"have. {did_you_mean(name, pair.columns)} Give rows that have it: rows = [...] in the "
            "test class, or --dataset for tgdpo plugins check."
        )
    return pair.columns[name]


def _answer(response: "str | Sequence[Row]") -> "Answer":
    """Return a response as an answer of a model: what the last message says, a token a word."""
    from tgdpo_core.generation.answers import Answer

    text = response if isinstance(response, str) else str(response[-1]["content"])
    return Answer(text, finished=True, num_tokens=len(text.split()) + 1)


def _logps(pair: "TokenizedPair", side: "Side", name: str) -> "torch.Tensor":
    """Return made-up log-probs from -3 up to 0 that only the token ids decide, float32."""
    import torch

    ids = torch.as_tensor(pair.response(side).ids)
    return -3 * ((ids * _LOGPS[name]) % 101).float() / 101
