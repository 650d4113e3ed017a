"""KL(policy || reference) on samples, against plain forwards of one sequence each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core.evaluation.divergence import SampledKL
from tgdpo_core.evaluation.generation import GeneratedBatch

EOS = 1
PROMPTS = [[5, 6, 7], [8, 9]]
ANSWERS = [[10, EOS, 11, 12], [13, 14, 15, EOS]]  # what follows EOS is padding


@pytest.fixture
def models(model_folder: Any) -> tuple[Any, Any]:
    """A model and a noisy copy of it."""
    policy = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    reference = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng), alpha=0.05)
    return policy, reference


def batch() -> GeneratedBatch:
    """Return both answers, the shorter prompt padded on the left."""
    ids = torch.tensor([[*PROMPTS[0], *ANSWERS[0]], [0, *PROMPTS[1], *ANSWERS[1]]])
    return GeneratedBatch(ids, torch.tensor([[1, 1, 1], [0, 1, 1]]))


def plain_kl(policy: Any, reference: Any, prompt: list[int], answer: list[int]) -> float:
    """Return the sum over states of the KL of two next-token distributions."""
    length = answer.index(EOS) + 1
    total = 0.0
    for t in range(length):
        state = torch.tensor([prompt + answer[:t]])
        with torch.no_grad():
            p, q = (m(input_ids=state).logits[0, -1].softmax(-1) for m in (policy, reference))
        total += float((p * (p / q).log()).sum())
    return total


def test_each_response_sums_the_divergence_of_its_states_to_eos(models: tuple[Any, Any]) -> None:
    kl = SampledKL(*models, stop_ids={EOS})
    kl.add(batch())
    expected = [plain_kl(*models, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert min(expected) > 1e-3
    assert kl.responses() == pytest.approx(expected, rel=1e-4)


def test_it_is_zero_between_a_model_and_itself(models: tuple[Any, Any]) -> None:
    kl = SampledKL(models[0], models[0], stop_ids={EOS})
    kl.add(batch())
    assert kl.responses() == [0.0, 0.0]


def test_no_sample_gives_no_value(models: tuple[Any, Any]) -> None:
    read: Callable[[], list[float]] = SampledKL(*models, stop_ids={EOS}).responses
    assert read() == []
