"""What rewards are given of whole distributions: at the start, at every step, of the reference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch

from tests.core.training.conftest import make_trainer
from tgdpo_core import Example, TGDPOTrainer, TokenReward
from tgdpo_core.errors import PluginError

__all__ = ["make_trainer"]

MakeTrainer = Callable[..., TGDPOTrainer]


class Seen(TokenReward):
    """0; keeps what it was given."""

    dynamic: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = (
        *("policy_entropy", "policy_top:2", "kl_reference_policy", "kl_policy_reference"),
        "vocabulary",
    )
    seen: ClassVar[list[Example]] = []

    def setup(self, context: Any) -> None:
        self._context = context

    def over_vocabulary(
        self, log_p: torch.Tensor, log_q: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        both = torch.stack([log_p.exp() ** 2, log_q.exp() ** 2])
        return {"collision": both.sum(-1).t()}

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        self.seen.extend(batch)
        for example in batch:
            self._context.log_metric("entropy", example.shared["policy_entropy"].mean())
        return [torch.zeros(len(example.response_ids)) for example in batch]


class Sure(TokenReward):
    """Minus the reference's entropy, stored."""

    needs: ClassVar[tuple[str, ...]] = ("reference_entropy", "reference_top:2")

    def score(self, batch: Sequence[Example]) -> list[torch.Tensor]:
        assert all(e.shared["reference_top_ids:2"].dtype == torch.int64 for e in batch)
        assert all(e.shared["reference_top:2"].shape == (len(e.response_ids), 2) for e in batch)
        return [-example.shared["reference_entropy"] for example in batch]


@pytest.fixture(autouse=True)
def _forget() -> None:
    Seen.seen.clear()


def log_probs(model: Any, example: Example) -> torch.Tensor:
    ids = [*example.prompt_ids, *example.response_ids]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits
    return torch.log_softmax(logits[0, len(example.prompt_ids) - 1 : -1], -1)


def test_every_step_sees_the_policy_as_it_is_then(make_trainer: MakeTrainer) -> None:
    from transformers import AutoModelForCausalLM

    trainer = make_trainer(token_reward=Seen(), max_steps=2, per_device_train_batch_size=12)
    start = {e.uid: e for e in Seen.seen}
    reference = AutoModelForCausalLM.from_pretrained(trainer.model.config._name_or_path)
    Seen.seen.clear()
    trainer.train()
    first, second = (Seen.seen[:24], Seen.seen[24:48])
    for example in first[:4]:
        q = log_probs(reference, example)
        for shared in (
            example.shared,
            start[example.uid].shared,
        ):  # at the start it is the reference
            assert torch.allclose(shared["policy_entropy"], -(q.exp() * q).sum(-1), atol=1e-4)
            assert torch.allclose(shared["kl_reference_policy"], torch.zeros(len(q)), atol=1e-5)
            top = q.topk(2)
            assert torch.equal(shared["policy_top_ids:2"], top.indices)
            assert torch.allclose(shared["policy_top:2"], top.values, atol=1e-4)
            collision = (q.exp() ** 2).sum(-1)
            expected = torch.stack([collision, collision], -1)
            assert torch.allclose(shared["collision"], expected, atol=1e-5)
    for example in second:
        assert (example.shared["kl_policy_reference"] > -1e-6).all()
    assert sum(e.shared["kl_reference_policy"].sum() for e in second) > 1e-4
    logged = [row for row in trainer.state.log_history if "reward/Seen/entropy" in row]
    mean = sum(e.shared["policy_entropy"].mean().item() for e in first) / len(first)
    assert logged[0]["reward/Seen/entropy"] == pytest.approx(mean, rel=1e-5)


def test_a_stored_source_reads_the_reference(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(token_reward=Sure())
    passes = trainer._facts["store"]["passes"]
    assert {"reference_values:policy_entropy", "reference_values:policy_top:2"} <= set(passes)
    pair = trainer.train_dataset[0]
    q = log_probs(trainer.model, pair.pair.example("chosen"))
    found = pair.token_rewards[: len(q)]
    assert torch.allclose(found, (q.exp() * q).sum(-1), atol=1e-4)
    assert make_trainer(run="again", token_reward=Sure())._facts["store"]["computed"] == 0


@pytest.mark.parametrize(
    ("dynamic", "need", "said"),
    [
        (False, "policy_entropy", "changes at every step: say dynamic = True"),
        (False, "kl_reference_policy", "changes at every step: say dynamic = True"),
        (True, "policy_logits", "Known: reference_logps, .*policy_entropy, policy_top:K"),
        (True, "policy_top:0", "unknown here"),
    ],
)
def test_a_need_that_cannot_be_met_is_named(
    make_trainer: MakeTrainer, dynamic: bool, need: str, said: str
) -> None:
    wanting = type("Wanting", (Sure,), {"dynamic": dynamic, "needs": (need,)})
    with pytest.raises(PluginError, match=said):
        make_trainer(token_reward=wanting())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda self, p, q: p.sum(), "expected tensors by name"),
        (lambda self, p, q: {"x": p.sum()}, r"'x' is \[\] for \d+ tokens"),
        (lambda self, p, q: {"x": 1.0}, "'x' is float for"),
        (lambda self, p, q: p["x"], "failed on its function over the vocabulary"),
    ],
)
def test_a_function_over_the_vocabulary_that_returns_nonsense_is_named(
    make_trainer: MakeTrainer, function: Any, said: str
) -> None:
    wrong = type("Wrong", (Seen,), {"over_vocabulary": function})
    with pytest.raises(PluginError, match=f"token reward 'Wrong' .*{said}"):
        make_trainer(token_reward=wrong())


def test_two_sources_with_functions_of_one_name_keep_their_own(make_trainer: MakeTrainer) -> None:
    def of(value: float) -> TokenReward:
        def over(self: Any, p: torch.Tensor, q: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"mine": p.new_full((len(p),), value)}

        def score(self: Any, batch: Any) -> list[torch.Tensor]:
            assert all((e.shared["mine"] == value).all() for e in batch)
            return [e.shared["mine"] for e in batch]

        body = {"dynamic": True, "needs": ("vocabulary",), "over_vocabulary": over, "score": score}
        found: TokenReward = type("Mine", (TokenReward,), body)()
        return found

    trainer = make_trainer(token_reward=[of(1.0), of(2.0)], max_steps=1)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "token_reward/mean" in row]
    assert rows[0]["token_reward/mean"] == pytest.approx(3.0)
