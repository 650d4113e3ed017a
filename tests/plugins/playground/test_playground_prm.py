"""The dense reward model of the playground: its labels, its training, and how it is judged."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tgdpo_plugins.playground.dataset import Playground
from tgdpo_plugins.playground.rollouts import Rollout, fresh_prompts
from tgdpo_plugins.playground.splits import SPLITS
from tgdpo_plugins.playground.task import check_text

# 3+4=7 is answered by 8 (wrong); 8*2=16 is then right.
ONE_ERROR = ("3+4*2=", " so +48 now  well *26")
RIGHT = ("3+4*2=", " so +47 now *24")
# The second operator is copied wrongly, which ends the judging.
BROKEN = ("3+4*2=", " so +47 now -25")

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


def rollout(prompt: str, response: str) -> Rollout:
    return Rollout(prompt, response, check_text(prompt, response))


def labels_of(tokenizer: Any, target: Any, *rollouts: tuple[str, str]) -> list[list[int]]:
    """Return the labels, those of BOS and of all of the prompt but its last token left out."""
    from tgdpo_plugins.playground.token_classifier import label_tokens

    data = label_tokens(tokenizer, [rollout(*each) for each in rollouts], target)
    num_left_out = len("3+4*2=")  # with BOS in front, '=' stays
    assert (data.labels[:, :num_left_out] == OUT).all()
    labels: list[list[int]] = data.labels[:, num_left_out:].tolist()
    return labels


def test_step_labels_are_those_of_the_checker(tokenizer: Any) -> None:
    #  =    so + 4 8  now well * 2 6 EOS      |      =   so + 4 7 now - 2 5 EOS, padding
    assert labels_of(tokenizer, "steps", ONE_ERROR, BROKEN) == [
        [OUT, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1],
        [OUT, 1, 1, 1, 1, 1, 0, OUT, OUT, OUT, OUT],
    ]


def test_outcome_labels_tell_nothing_but_whether_the_answer_is_right(tokenizer: Any) -> None:
    assert labels_of(tokenizer, "outcome", ONE_ERROR, RIGHT) == [[0] * 11, [1] * 10 + [OUT]]


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
    from tgdpo_plugins.playground.token_classifier import label_tokens

    steps = label_tokens(tokenizer, [rollout(*ONE_ERROR)], "steps")
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


def train(folder: Path, target: str) -> str:
    from tgdpo_plugins.playground.train_prm import main

    options = ["--world", "1", "--rollouts", "64", "--target", target, "--output", str(folder)]
    result = CliRunner().invoke(main, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("_threads_as_before")
@pytest.mark.parametrize(
    ("target", "labels"),
    [("steps", {0: "error", 1: "ok"}), ("outcome", {0: "wrong", 1: "right"})],
)
def test_the_script_writes_an_ordinary_token_classifier(
    tmp_path: Path, tokenizer: Any, target: str, labels: dict[int, str]
) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    output = train(tmp_path, target)
    assert "AUC of error tokens" in output
    assert ("AUC of right answers" in output) is (target == "outcome")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert model.config.id2label == labels
    ids = AutoTokenizer.from_pretrained(tmp_path)("".join(RIGHT), return_tensors="pt")
    assert ids["input_ids"].tolist() == [tokenizer("".join(RIGHT))["input_ids"]]
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

    from tgdpo_plugins.playground.token_classifier import (
        good_probabilities,
        label_tokens,
        make_classifier,
        train_classifier,
    )

    base_model = LlamaForCausalLM.from_pretrained(str(Playground.model))
    model = make_classifier(base_model, "steps", seed=0)
    data = label_tokens(tokenizer, [rollout(*ONE_ERROR), rollout(*RIGHT)] * 8, "steps")
    train_classifier(model, data, num_epochs=60, seed=0, on_step=lambda loss: None)
    good = good_probabilities(model, data.ids)
    assert good[data.labels == 0].max() < 0.1
    assert good[data.labels == 1].min() > 0.9
