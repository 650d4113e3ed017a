"""The dense reward model of the playground: its training, and how it is judged."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tgdpo_plugins.playground import rollouts
from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.rollouts import Rollout, fresh_prompts
from tgdpo_plugins.playground.splits import SPLITS
from tgdpo_plugins.playground.supervision import step_labels
from tgdpo_plugins.playground.token_classifier import label_tokens

# 3+4=7 is answered by 8 (wrong); 8*2=16 is then right.
ONE_ERROR = Rollout("3+4*2=", " so +48 now  well *26")
RIGHT = Rollout("3+4*2=", " so +47 now *24")

OUT = -100


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Playground.model)


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    """The script sets the number of threads of its own process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_labels_stand_on_the_last_tokens_and_padding_has_none(tokenizer: Any) -> None:
    labels = [[0.25, 0.5, OUT, 1.0], [0.75]]
    data = label_tokens(tokenizer, [ONE_ERROR, RIGHT], labels)
    num_tokens = 1 + len("3+4*2=") + 10  # BOS, prompt, response and EOS
    assert data.ids.shape == (2, num_tokens)
    assert data.labels[0].tolist() == [OUT] * (num_tokens - 4) + [0.25, 0.5, OUT, 1.0]
    assert data.labels[1].tolist() == [OUT] * (num_tokens - 2) + [0.75, OUT]
    assert data.ids[1, -2:].tolist() == [tokenizer.eos_token_id, tokenizer.pad_token_id]


def test_answers_with_tokens_that_have_no_text_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    responses = [RIGHT.response, None, RIGHT.response + "<s>", "<pad>" + RIGHT.response]
    monkeypatch.setattr(rollouts, "respond", lambda *_, **__: responses)
    prompts = iter([RIGHT.prompt] * 10)
    assert rollouts.sample_rollouts(None, None, prompts, num_rollouts=4, seed=0) == [RIGHT]


def test_rollouts_are_of_prompts_that_no_split_has() -> None:
    shipped = {row["prompt"] for split in SPLITS for row in Playground().rows(split)}
    # The stream that the shipped prompts were drawn from.
    fresh = list(itertools.islice(fresh_prompts(Playground(), random.Random("prompts 0")), 2000))
    assert shipped.isdisjoint(fresh)
    assert len(set(fresh)) == 2000


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [([3.0, 4.0], [1.0, 2.0], 1.0), ([1.0], [1.0], 0.5), ([1.0, 3.0], [2.0, 0.0], 0.75)],
)
def test_the_auc_counts_pairs_in_order(
    positives: list[float], negatives: list[float], expected: float
) -> None:
    from tgdpo_plugins.playground.detection import auc

    assert auc(np.array(positives), np.array(negatives)) == expected


def test_an_auc_without_positives_is_refused() -> None:
    from tgdpo_plugins.playground.detection import auc

    with pytest.raises(ValueError, match="found 0 positives and 1 negatives"):
        auc(np.array([]), np.array([1.0]))


def test_errors_are_told_apart_among_all_tokens_and_among_results(tokenizer: Any) -> None:
    import torch

    from tgdpo_plugins.playground.detection import error_detection

    steps = label_tokens(tokenizer, [ONE_ERROR], [step_labels(ONE_ERROR)])
    suspicion = torch.zeros(steps.ids.shape)
    suspicion[0, 10] = 1.0  # the wrong 8
    suspicion[0, 15] = 2.0  # the right 6, the only other result; 8 tokens more are judged
    detection = error_detection(suspicion, steps)
    assert detection.among_results == 0.0
    assert detection.among_all == pytest.approx(8 / 9)


def test_a_fall_is_the_value_before_minus_the_value_after() -> None:
    import torch

    from tgdpo_plugins.playground.detection import falls

    values = torch.tensor([[0.5, 0.75, 0.25]])
    assert falls(values).tolist() == [[0.0, -0.25, 0.5]]


def test_the_loss_is_the_cross_entropy_of_soft_labels() -> None:
    import torch

    from tgdpo_core.prm import soft_cross_entropy

    probabilities = torch.tensor([[[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]])
    labels = torch.tensor([[0.5, OUT, 1.0]])
    by_hand = (-0.5 * np.log(0.25) - 0.5 * np.log(0.75) - np.log(0.875)) / 2
    loss = soft_cross_entropy(probabilities.log(), labels)
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_with_hard_labels_the_loss_is_that_of_transformers() -> None:
    import torch

    from tgdpo_core.prm import soft_cross_entropy

    logits = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, OUT]).repeat(5).reshape(3, 5)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(soft_cross_entropy(logits, labels.float()), expected)


def train(folder: Path, target: str) -> str:
    from tgdpo_plugins.playground.train_prm import main

    options = ["--world", "1", "--rollouts", "64", "--target", target, "--output", str(folder)]
    result = CliRunner().invoke(main, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("_threads_as_before")
@pytest.mark.parametrize("target", ["steps", "self-consistency"])
def test_the_script_writes_an_ordinary_token_classifier(
    tmp_path: Path, tokenizer: Any, target: str
) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    output = train(tmp_path, target)
    assert "errors among results, by the fall of the value" in output
    assert ("continuations of" in output) is (target == "self-consistency")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "bad", 1: "good"}
    text = RIGHT.prompt + RIGHT.response
    ids = AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt")
    assert ids["input_ids"].tolist() == [tokenizer(text)["input_ids"]]
    assert model(**ids).logits.shape == (*ids["input_ids"].shape, 2)


@pytest.mark.usefixtures("_threads_as_before")
def test_the_script_repeats_itself_and_leaves_the_random_state_alone(tmp_path: Path) -> None:
    import torch

    before = torch.get_rng_state()
    train(tmp_path / "first", "steps")
    assert torch.equal(torch.get_rng_state(), before)
    train(tmp_path / "again", "steps")
    first, again = (tmp_path / name / "model.safetensors" for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_training_learns_the_labels(tokenizer: Any) -> None:
    from transformers import LlamaForCausalLM

    from tgdpo_core.prm import make_classifier
    from tgdpo_plugins.playground.token_classifier import good_probabilities, train_classifier

    base_model = LlamaForCausalLM.from_pretrained(str(Playground.model))
    model = make_classifier(base_model, {0: "bad", 1: "good"}, seed=0)
    some = [ONE_ERROR, RIGHT] * 8
    data = label_tokens(tokenizer, some, [step_labels(rollout) for rollout in some])
    train_classifier(model, data, num_epochs=60, seed=0, on_step=lambda loss: None)
    good = good_probabilities(model, data.ids)
    assert good[data.labels == 0].max() < 0.1
    assert good[data.labels == 1].min() > 0.9
