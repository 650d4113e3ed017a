"""The judge `reward-model` on tiny random checkpoints, against the model's own forward."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from tests.conftest import SENTENCES, train_bpe
from tgdpo_core import Generation, Unjudged
from tgdpo_core.errors import UsageError
from tgdpo_core.testing import JudgeContract
from tgdpo_plugins.judges.reward_model import RewardModelJudge

TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Four?"}]
BATCH = [
    Generation(f"Two plus {i}? ", " It is four." * (i % 4) + " Yes." * (i % 3)) for i in range(8)
]
Make = Callable[..., str]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function: class of the model, chat template, config -> folder of a tiny random one."""

    def folder_of(
        model_class: Any = LlamaForSequenceClassification,
        *,
        template: str | None = TEMPLATE,
        **config: Any,
    ) -> str:
        tokenizer = train_bpe(SENTENCES * 4, vocab_size=330)
        tokenizer.chat_template = template
        settings = {
            "vocab_size": len(tokenizer),
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 256,
            "initializer_range": 0.4,
            "num_labels": 1,
            "pad_token_id": None,
            **config,
        }
        torch.manual_seed(5)
        kind = BertConfig if model_class is BertForSequenceClassification else LlamaConfig
        folder = tmp_path_factory.mktemp("model")
        model_class(kind(**settings)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return folder_of


def scores(folder: str, batch: Sequence[Generation], **options: Any) -> list[float]:
    judge = RewardModelJudge(model=folder, **options)
    judge.setup()
    found = judge.score(batch)
    judge.teardown()
    return found


@torch.no_grad()
def forward(folder: str, text: str, *, special: bool = True) -> float:
    """Return the score of one text by the model's own forward, without padding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = tokenizer(text, add_special_tokens=special, return_tensors="pt")["input_ids"]
    return model(input_ids=ids).logits.item()


# -- what is read ---------------------------------------------------------------------------------


def test_a_text_prompt_becomes_one_user_message(make: Make) -> None:
    folder = make()
    expected = [
        forward(
            folder,
            f"<s>user: {g.prompt.strip()}</s><s>assistant: {g.response.strip()}</s>",
            special=False,
        )
        for g in BATCH
    ]
    assert scores(folder, BATCH) == pytest.approx(expected, abs=1e-5)
    assert len({round(x, 3) for x in expected}) == len(BATCH)


def test_messages_go_through_the_template_as_they_are(make: Make) -> None:
    folder = make()
    text = "<s>system: Be brief.</s><s>user: Four?</s><s>assistant:  Yes.</s>"
    found = scores(folder, [Generation(MESSAGES, " Yes.")])
    assert found == pytest.approx([forward(folder, text, special=False)], abs=1e-5)


@pytest.mark.parametrize(
    ("template", "options"), [(None, {}), (TEMPLATE, {"chat_template": False})]
)
def test_without_a_template_prompt_and_answer_are_one_text(
    make: Make, template: str | None, options: dict[str, Any]
) -> None:
    folder = make(template=template)
    expected = [forward(folder, g.prompt + g.response) for g in BATCH]
    assert scores(folder, BATCH, **options) == pytest.approx(expected, abs=1e-5)


# -- padding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pad",
    [
        pytest.param(None, id="no pad token"),
        pytest.param(-1, id="-1 for none"),
        pytest.param(2, id="a pad token"),
        pytest.param(1, id="EOS as pad token, which ends every text"),
    ],
)
def test_padding_does_not_change_scores(make: Make, pad: int | None) -> None:
    folder = make(pad_token_id=pad)
    alone = [score for item in BATCH for score in scores(folder, [item])]
    assert scores(folder, BATCH, batch_size=8) == pytest.approx(alone, abs=1e-5)
    assert scores(folder, BATCH, batch_size=3) == pytest.approx(alone, abs=1e-5)
    text = f"<s>user: Two plus 7?</s><s>assistant: {BATCH[7].response.strip()}</s>"
    assert alone[7] == pytest.approx(forward(folder, text, special=False), abs=1e-5)


def test_an_encoder_is_read_too(make: Make) -> None:
    folder = make(BertForSequenceClassification, template=None, pad_token_id=2)
    expected = [forward(folder, g.prompt + g.response) for g in BATCH]
    assert scores(folder, BATCH) == pytest.approx(expected, abs=1e-5)


# -- what is refused ------------------------------------------------------------------------------


def test_a_checkpoint_without_a_head_is_refused(make: Make) -> None:
    folder = make(LlamaForCausalLM)
    with pytest.raises(UsageError, match=r"lacks score\.weight \(1 tensors\), which would be rand"):
        scores(folder, BATCH)


def test_more_than_one_label_is_refused_with_their_number(make: Make) -> None:
    with pytest.raises(ValueError, match="it has 3 labels; a reward model has one"):
        scores(make(num_labels=3), BATCH)


def test_a_template_that_is_asked_for_and_missing_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="its tokenizer has no chat template"):
        scores(make(template=None), BATCH, chat_template=True)


def test_messages_without_a_template_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match=r"Be brief.*messages need a chat template"):
        scores(make(template=None), [*BATCH, Generation(MESSAGES, "Yes.")])


def test_messages_that_the_template_refuses_name_the_prompt(make: Make) -> None:
    refuses = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    with pytest.raises(ValueError, match=r"Be brief.*refuses the messages: no system"):
        scores(make(template=refuses), [Generation(MESSAGES, "Yes.")])


TOO_LONG = Unjudged("longer than the reward model reads")


def test_an_input_longer_than_the_model_is_unjudged_and_the_others_are_not(make: Make) -> None:
    long = Generation("Tell a story. ", "The cat sat on the mat. " * 60)
    judge = RewardModelJudge(model=make())
    judge.setup()
    found = judge.score([*BATCH[:4], long, *BATCH[4:]])
    assert found[4] == TOO_LONG
    assert [*found[:4], *found[5:]] == pytest.approx(scores(judge.model, BATCH), abs=1e-5)
    record = judge.record()
    assert (record["judged"], record["too_long"], record["max_length"]) == (len(BATCH), 1, 256)
    assert record["longest"] > 256


def test_max_length_moves_the_limit_both_ways(make: Make) -> None:
    long = Generation("Tell a story. ", "The cat sat on the mat. " * 60)
    assert isinstance(scores(make(), [long], max_length=2000)[0], float)
    assert scores(make(), BATCH, max_length=5) == [TOO_LONG] * len(BATCH)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"model '{tmp_path}/none'"):
        scores(f"{tmp_path}/none", BATCH)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_length": 0}])
def test_numbers_that_mean_nothing_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        RewardModelJudge(model="m", **options)


def test_the_dtype_of_the_weights_is_the_one_asked_for(make: Make) -> None:
    judge = RewardModelJudge(model=make(), dtype="bfloat16")
    judge.setup()
    exact = scores(judge.model, BATCH)
    rounded = judge.score(BATCH)
    assert judge._model.dtype == torch.bfloat16
    assert rounded != exact
    assert rounded == pytest.approx(exact, abs=0.5)


class TestContract(JudgeContract):
    @pytest.fixture(autouse=True)
    def _plugin(self, make: Make) -> None:
        self.plugin = RewardModelJudge(model=make(max_position_embeddings=4096))
