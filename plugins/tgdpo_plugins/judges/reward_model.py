"""The judge ``reward-model``: what a sequence-classification reward model says of an answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tgdpo_core import Generation, Judge, Unjudged, option, resolve_model_path

_NUM_TEXT = 40  # characters of a prompt in messages
TOO_LONG = Unjudged("longer than the reward model reads")
EMPTY = Unjudged("empty prompt and answer")


class RewardModelJudge(Judge):
    """The score that a reward model (sequence classification, one label) gives to an answer.

    It reads prompt and answer in its own tokens, through its own chat template. A text prompt is
    then one user message; prompt and answer lose the white space around them. Without a template
    they are read as one text.

    The model stays in memory while other models answer, or train: see docs/judges.md.
    """

    model: str = option(help="local folder or Hub id of the reward model")
    revision: str | None = option(None, help="Hub revision of the model")
    chat_template: bool | None = option(
        None, help="use the chat template of its tokenizer; unset: if it has one"
    )
    max_length: int | None = option(
        None, help="most tokens, longer inputs are unjudged; unset: the positions of the model"
    )
    batch_size: int = option(8, help="answers read together")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", help="of the weights; auto: as stored"
    )
    trust_remote_code: bool = option(False, help="run code that the model repository brings")
    allow_pickle: bool = option(False, help="read weights that are not safetensors")

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("batch_size", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self._num_judged = self._num_too_long = self._longest = 0
        self._limit = self.max_length

    def validate(self) -> None:
        """Refuse a folder that holds no model."""
        resolve_model_path(self.model)

    def setup(self) -> None:
        """Load the model and its tokenizer.

        Raises:
            ValueError: it cannot be loaded, has no head or more than one label, or its tokenizer
                lacks the chat template that is asked for.
        """
        try:
            self._load()
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"model '{self.model}': {error}") from error
        config = self._model.config.get_text_config()
        self._limit = self.max_length or getattr(config, "max_position_embeddings", None)
        # Some checkpoints say -1 for none.
        is_id = config.pad_token_id is not None and config.pad_token_id >= 0
        self._pad = config.pad_token_id if is_id else None

    def _load(self) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from tgdpo_core import Checkpoint, load_checkpoint

        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            self.model, revision=self.revision, trust_remote_code=self.trust_remote_code
        )
        has_template = bool(self._tokenizer.chat_template)
        if self.chat_template and not has_template:
            raise ValueError("its tokenizer has no chat template; leave chat_template out")
        self._is_chat = has_template if self.chat_template is None else self.chat_template
        source = Checkpoint(
            path=self.model,
            revision=self.revision,
            dtype=self.dtype if self.dtype == "auto" else getattr(torch, self.dtype),
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
        )
        advice = "use a reward model for sequence classification"
        self._model: Any = load_checkpoint(
            AutoModelForSequenceClassification, source, advice=advice
        )
        if not self.trust_remote_code:  # a class of its own may mean something else by it
            _require_one(self._model.config.num_labels)

    def record(self) -> Mapping[str, Any]:
        """Return how many answers were judged and too long, and the tokens of the longest."""
        return {
            "judged": self._num_judged,
            "too_long": self._num_too_long,
            "longest": self._longest,
            "max_length": self._limit,
        }

    def teardown(self) -> None:
        """Let go of the model."""
        self._model = self._tokenizer = None

    def score(self, batch: Sequence[Generation]) -> list[float | Unjudged]:
        """Return the score of every answer; ``Unjudged`` for an input that is empty or too long.

        Raises:
            ValueError: messages that the chat template refuses, or that have none; the beginning of
                the prompt is named.
        """
        rows = [self._ids(item) for item in batch]
        readable = {i: row for i, row in enumerate(rows) if not isinstance(row, Unjudged)}
        by_length = sorted(readable, key=lambda i: -len(readable[i]))
        scores: dict[int, float] = {}
        for start in range(0, len(by_length), self.batch_size):
            indices = by_length[start : start + self.batch_size]
            values = self._read([readable[i] for i in indices])
            scores |= dict(zip(indices, values, strict=True))
        self._num_judged += len(readable)
        return [row if isinstance(row, Unjudged) else scores[i] for i, row in enumerate(rows)]

    def _ids(self, item: Generation) -> list[int] | Unjudged:
        """Return prompt and answer as the model's tokens."""
        where = f"the prompt {str(item.prompt)[:_NUM_TEXT]!r}"
        text = self._chat(item, where) if self._is_chat else self._text(item, where)
        # A chat template writes its own special tokens.
        encoded = self._tokenizer(text, add_special_tokens=not self._is_chat, verbose=False)
        ids: list[int] = encoded["input_ids"]
        if not ids:
            return EMPTY
        self._longest = max(self._longest, len(ids))
        if self._limit and len(ids) > self._limit:
            self._num_too_long += 1
            return TOO_LONG
        return ids

    def _chat(self, item: Generation, where: str) -> str:
        import jinja2

        if isinstance(item.prompt, str):
            prompt, answer = (
                [{"role": "user", "content": item.prompt.strip()}],
                item.response.strip(),
            )
        else:
            prompt, answer = list(item.prompt), item.response
        messages = [*prompt, {"role": "assistant", "content": answer}]
        try:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False)
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise ValueError(f"{where}: the chat template refuses the messages: {error}") from error
        return text

    def _text(self, item: Generation, where: str) -> str:
        if not isinstance(item.prompt, str):
            raise ValueError(
                f"{where}: messages need a chat template, and '{self.model}' is read without. "
                "Use a reward model whose tokenizer has one, or rows with text prompts"
            )
        return item.prompt + item.response

    def _read(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Return the score of each input; they are padded on the right."""
        import torch

        pad = self._pad
        if pad is None:
            # A decoder reads its score at the last token that is not padding, so no input may end
            # with the pad token.
            pad = min(set(range(len(rows) + 1)) - {row[-1] for row in rows})
            self._model.config.get_text_config().pad_token_id = pad
        tensors = [torch.tensor(row) for row in rows]
        padded = [
            torch.nn.utils.rnn.pad_sequence(of, batch_first=True, padding_value=value)
            for of, value in ((tensors, pad), ([torch.ones_like(t) for t in tensors], 0))
        ]
        ids, mask = (t.to(self._model.device) for t in padded)
        with torch.no_grad():
            logits = self._model(input_ids=ids, attention_mask=mask).logits
        _require_one(logits.numel() // len(rows))
        values: list[float] = logits.float().flatten().tolist()
        return values


def _require_one(num_labels: int) -> None:
    if num_labels != 1:
        raise ValueError(f"it has {num_labels} labels; a reward model has one, its score")
