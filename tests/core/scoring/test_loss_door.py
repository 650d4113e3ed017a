"""What a loss plugin may return, and how it is chosen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.core.training.conftest import make_trainer
from tgdpo_core import Loss, PairLosses, TGDPOTrainer, option
from tgdpo_core.engine import LOSSES, preference_loss
from tgdpo_core.engine.losses import PairTerms
from tgdpo_core.errors import PluginError, UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.loss_choice import resolve_loss
from tgdpo_core.scoring.losses import LossDoor

__all__ = ["make_trainer"]

PLUGINS = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})


def terms() -> PairTerms:
    policy = torch.tensor([-1.0, -2.0, -3.0, -0.5, -1.5], requires_grad=True)
    reference = torch.tensor([-1.5, -2.5, -2.0, -1.0, -1.0])
    pairs = torch.tensor([0, 0, 0, 1, 1])
    chosen = torch.tensor([True, True, False, True, False])
    return PairTerms(policy, reference, torch.ones(5), pairs, chosen, 2, 0.25)


def made(function: Callable[[PairTerms], Any]) -> Loss:
    body = {"__call__": lambda self, pairs: function(pairs), "__doc__": "A loss."}
    found: Loss = type("Mine", (Loss,), body)()
    return found


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_built_in_plugin_is_the_engines_loss(name: str) -> None:
    pairs = terms()
    found, _ = LossDoor(resolve_loss(name, PLUGINS))(pairs, "a row")
    expected = preference_loss(
        pairs.policy_logps,
        pairs.reference_logps,
        pairs.weights,
        pairs.pair_ids,
        pairs.is_chosen,
        num_pairs=2,
        beta=0.25,
        loss=name,
    )
    assert torch.equal(found.losses, expected.losses)


WRONG = {
    "a number": (lambda pairs: 1.0, "the losses are float; expected one number for each of 2"),
    "a mean": (lambda pairs: pairs.margins.mean(), r"the losses are torch.float32 \[\]"),
    "integers": (lambda pairs: pairs.num_pairs * torch.ones(2).long(), "torch.int64"),
    "no gradient": (lambda pairs: pairs.margins.detach(), "carry no gradient"),
    "a constant": (
        lambda pairs: torch.ones(2, requires_grad=True),
        "the losses do not depend on the policy",
    ),
    "changes weights": (
        lambda pairs: (pairs.weights.zero_(), pairs.margins)[1],
        r"it changed pairs\.weights in place",
    ),
    "changes log-probs": (
        lambda pairs: (pairs.policy_logps.add_(1), pairs.margins)[1],
        r"it changed pairs\.policy_logps in place",
    ),
    "changes a view": (
        lambda pairs: (pairs.reference_logps[:2].mul_(2), pairs.margins)[1],
        r"it changed pairs\.reference_logps in place",
    ),
    "runs backward": (
        lambda pairs: (pairs.margins.sum().backward(retain_graph=True), pairs.margins)[1],
        r"it ran backward\(\) itself",
    ),
    "no dict of metrics": (
        lambda pairs: PairLosses(pairs.margins, pairs.margins, None),  # type: ignore[arg-type]
        "its metrics are NoneType; give a dict",
    ),
    "a number for a name": (
        lambda pairs: PairLosses(pairs.margins, None, {3: pairs.margins}),  # type: ignore[dict-item]
        "3 is no name of a metric",
    ),
    "raises": (lambda pairs: pairs.values["kl"], "failed on a row: KeyError: 'kl'"),
    "exits": (lambda pairs: exit("no"), "failed on a row: SystemExit: no"),
    "a margin for all": (
        lambda pairs: PairLosses(pairs.margins, pairs.margins.mean()),
        "the margins are",
    ),
    "a metric for all": (
        lambda pairs: PairLosses(pairs.margins, metrics={"kl": torch.zeros(())}),
        "the metric 'kl' are",
    ),
    "gradients off": (
        lambda pairs: (torch.set_grad_enabled(False), pairs.margins)[1],
        "changed the gradient mode",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_a_loss_does_wrong_is_named(fault: str) -> None:
    function, said = WRONG[fault]
    with pytest.raises(PluginError, match=f"loss 'mine', a row: .*{said}|loss 'mine' {said}"):
        LossDoor(("mine", made(function)))(terms(), "a row")
    assert torch.is_grad_enabled()


def test_a_loss_cannot_change_what_is_logged_even_where_torch_does_not_see_it() -> None:
    pairs = terms()
    names = ("policy_logps", "reference_logps", "weights", "pair_ids", "is_chosen")
    before = [getattr(pairs, name).detach().clone() for name in names]

    def hidden(given: PairTerms) -> torch.Tensor:
        for name in names:
            getattr(given, name).data.zero_()
        return -given.margins

    LossDoor(("mine", made(hidden)))(pairs, "a row")
    for name, old in zip(names, before, strict=True):
        assert torch.equal(getattr(pairs, name), old)


def test_values_that_are_asked_for_must_stay_and_are_enough_to_learn_from() -> None:
    entropy = torch.rand(5, requires_grad=True) * 2
    pairs = dataclasses.replace(terms(), values={"policy_entropy": entropy})
    of_values = made(lambda given: given.sums(given.values["policy_entropy"]).w)
    found, _ = LossDoor(("mine", of_values))(pairs, "a row")
    assert found.losses.requires_grad
    in_place = made(lambda given: (given.values["policy_entropy"].add_(1), given.margins)[1])
    with pytest.raises(PluginError, match=r"it changed pairs\.values\['policy_entropy'\] in place"):
        LossDoor(("mine", in_place))(pairs, "a row")


def test_gradients_through_the_door_are_those_of_the_loss_alone() -> None:
    given, alone = terms(), terms()
    loss = resolve_loss("sigmoid", PLUGINS)
    LossDoor(loss)(given, "a row")[0].losses.sum().backward()
    loss[1](alone).losses.sum().backward()  # type: ignore[union-attr]
    assert torch.equal(given.policy_logps.grad, alone.policy_logps.grad)


def test_metrics_must_be_the_same_for_every_row() -> None:
    names = iter("ab")
    loss = made(lambda pairs: PairLosses(pairs.margins, metrics={next(names): torch.zeros(2)}))
    door = LossDoor(("mine", loss))
    door(terms(), "a row")
    with pytest.raises(PluginError, match="its metrics are b, and were a"):
        door(terms(), "another row")


class Scaled(Loss):
    """factor times the negative margin; no other loss here."""

    factor: float = option(2.0, help="of the margin")

    def __call__(self, pairs: PairTerms) -> torch.Tensor:
        """Return it."""
        return -self.factor * pairs.margins


def test_a_loss_made_in_python_trains(make_trainer: Callable[..., TGDPOTrainer]) -> None:
    from tgdpo_core import TGDPOConfig

    base = make_trainer()
    args = TGDPOConfig(**{**vars_of(base), "output_dir": base.args.output_dir + "2"})
    trainer = TGDPOTrainer(
        base.model.config._name_or_path,
        args=args,
        train_dataset=base_rows(),
        processing_class=base.processing_class,
        loss=Scaled(factor=3.0),
    )
    trainer.train()
    rows = [row for row in trainer.state.log_history if "weighted/margins" in row]
    assert rows[-1]["loss"] == pytest.approx(-3.0 * rows[-1]["weighted/margins"], rel=1e-4)


def vars_of(trainer: TGDPOTrainer) -> dict[str, Any]:
    names = ("use_cpu", "disable_tqdm", "learning_rate", "logging_steps", "save_strategy", "beta")
    return {name: getattr(trainer.args, name) for name in names}


def base_rows() -> list[dict[str, str]]:
    return [{"prompt": "Is it?\n", "chosen": "It is 4.", "rejected": "No."}] * 2


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("sigmod", {}, "Unknown loss 'sigmod'. Did you mean 'sigmoid'"),
        ("ipo", {"label_smoothing": 0.1}, "label_smoothing has no meaning for the loss 'ipo'"),
        ("sigmoid", {"simpo_gamma": 1.0}, "simpo_gamma has no meaning for the loss 'sigmoid'"),
        ("tdpo2", {"args": {"alfa": 1}}, "has no option 'alfa'. Did you mean 'alpha'"),
        (
            "simpo",
            {"args": {"simpo_gamma": 1}, "simpo_gamma": 2.0},
            "loss.simpo_gamma and loss.args.simpo_gamma are both given",
        ),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(
    name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((PluginError, UsageError), match=said):
        resolve_loss(name, PLUGINS, settings.pop("args", None), **settings)


def test_metadata_older_than_the_code_is_named() -> None:
    class Old:
        def names(self, kind: str) -> list[str]:
            return []

    old: Any = Old()
    with pytest.raises(PluginError, match=r"older than its code.*pip install -e \."):
        resolve_loss("sigmoid", old)
