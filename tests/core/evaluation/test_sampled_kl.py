"""KL(policy || reference) on samples, against plain forwards of one sequence each."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.divergence import Sampled, require_same_formats, sampled_kl
from tgdpo_core.models.precision import Precision

EOS = 1
PROMPTS = [[5, 6, 7], [8, 9], [4]]
ANSWERS = [[10, EOS], [13, 14, 15, EOS], [11]]  # the last was cut
SAMPLES = [Sampled(*each) for each in zip(PROMPTS, ANSWERS, strict=True)]


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


def plain_kl(policy: Any, reference: Any, prompt: list[int], answer: list[int]) -> float:
    """Return the sum over states of the KL of two next-token distributions."""
    total = 0.0
    for t in range(len(answer)):
        state = torch.tensor([prompt + answer[:t]])
        with torch.no_grad():
            p, q = (m(input_ids=state).logits[0, -1].softmax(-1) for m in (policy, reference))
        total += float((p * (p / q).log()).sum())
    return total


def test_each_response_sums_the_divergence_of_its_states(models: tuple[Any, Any]) -> None:
    expected = [plain_kl(*models, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert min(expected) > 1e-3
    assert sampled_kl(*models, SAMPLES, Precision()) == pytest.approx(expected, rel=1e-4)


PRECISIONS = [
    Precision(),
    Precision(autocast=torch.bfloat16),
    Precision(torch.bfloat16),
    Precision(torch.float16),
]


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda each: str(each.document()))
def test_it_is_zero_between_equal_models_in_every_precision(
    model_folder: Any, precision: Precision
) -> None:
    models = [
        AutoModelForCausalLM.from_pretrained(model_folder, dtype=precision.dtype).eval()
        for _ in range(2)
    ]
    assert sampled_kl(*models, SAMPLES, precision) == [0.0, 0.0, 0.0]


def test_weights_of_two_formats_are_refused() -> None:
    with pytest.raises(UsageError, match=r"policy's weights are float32, the reference's bfloat16"):
        require_same_formats(torch.float32, torch.bfloat16)


def test_no_sample_gives_no_value(models: tuple[Any, Any]) -> None:
    assert sampled_kl(*models, [], Precision()) == []
