"""Each way to break a contract fails the check that names it, and only that one.

This module loads no torch at its top: the plugins are defined in it, and one check looks at that.
"""

import random
from typing import Any

import pytest

from tgdpo_core import Judge, NamedDataset, Shaping, Spans, TokenReward, Transform, Unjudged, option
from tgdpo_core.testing import (
    DatasetContract,
    JudgeContract,
    ShapingContract,
    TokenRewardContract,
    TransformContract,
)
from tgdpo_core.testing.checking import outcomes
from tgdpo_core.testing.contract import PluginContract


def failures(contract: type[PluginContract], plugin: Any) -> dict[str, str]:
    """Return the failed checks of a plugin with their messages."""
    held = contract()
    held.plugin = plugin
    return {o.check: o.failure for o in outcomes(held) if o.failure is not None}


class Good(TokenReward):
    """Zero on every token."""

    def score(self, batch: Any) -> Any:
        return [self.values(example) for example in batch]

    def values(self, example: Any) -> Any:
        return [0.0] * len(example.response_ids)


def test_a_plugin_that_keeps_the_contract_fails_no_check() -> None:
    assert failures(TokenRewardContract, Good()) == {}


class NotANumber(Good):
    """NaN on the last token."""

    def values(self, example: Any) -> Any:
        return [*super().values(example)[:-1], float("nan")]


class WithoutEos(Good):
    """Nothing for EOS."""

    def values(self, example: Any) -> Any:
        return super().values(example)[:-1]


class BeyondTheResponse(Good):
    """A span that ends behind the text."""

    def values(self, example: Any) -> Any:
        return Spans([(0, len(example.response) + 1, 1.0)])


class WithGradient(Good):
    """Values that carry a gradient."""

    def values(self, example: Any) -> Any:
        import torch

        return torch.zeros(len(example.response_ids), requires_grad=True)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (NotANumber(), "are not finite"),
        (WithoutEos(), "off by one: shifted log-probs, or EOS left out?"),
        (BeyondTheResponse(), "is not inside the response's"),
        (WithGradient(), "the values carry gradients"),
    ],
)
def test_values_that_a_run_would_refuse_are_refused(reward: Any, said: str) -> None:
    found = failures(TokenRewardContract, reward)
    assert said in found["it gives finite values one per response token or spans"]


class Drawn(Good):
    """Another value each time, without touching a global state."""

    def values(self, example: Any) -> Any:
        return [random.SystemRandom().random() for _ in example.response_ids]


class OfTheBatch(Good):
    """The size of the batch."""

    def score(self, batch: Any) -> Any:
        return [[float(len(batch))] * len(example.response_ids) for example in batch]


class Counting(Good):
    """How many were scored before."""

    def setup(self, context: Any) -> None:
        self.count = 0

    def values(self, example: Any) -> Any:
        self.count += 1
        return [float(self.count)] * len(example.response_ids)


class Mutating(Good):
    """Leaves a note in the columns it was given."""

    def values(self, example: Any) -> Any:
        example.columns["seen"] = True
        return super().values(example)


class MovingRandom(Good):
    """Draws from Python's global generator and ignores it."""

    def values(self, example: Any) -> Any:
        random.random()
        return super().values(example)


class MovingNumpy(Good):
    """Draws from numpy's global generator and ignores it."""

    def values(self, example: Any) -> Any:
        import numpy as np

        np.random.rand()
        return super().values(example)


class SeedingTorch(Good):
    """Seeds torch's global generator."""

    def values(self, example: Any) -> Any:
        import torch

        torch.manual_seed(0)
        return super().values(example)


class Undocumented(Good):
    def values(self, example: Any) -> Any:
        return super().values(example)


class WithoutHelp(Good):
    """An option without help."""

    size: float = 1.0


class WithSet(Good):
    """An option that JSON does not have."""

    words: frozenset[str] = option(frozenset(), help="words")


class UnknownNeed(Good):
    """Asks for what nobody has."""

    needs = ("reward_model",)


class RandomFingerprint(Good):
    """Another fingerprint each time."""

    def fingerprint(self) -> Any:
        return {"session": random.SystemRandom().random()}


class PathFingerprint(Good):
    """A fingerprint that JSON does not have."""

    def fingerprint(self) -> Any:
        return {"words": {1, 2}}


class InfiniteScale(Good):
    """A scale that no value survives."""

    def scale(self, beta: float) -> float:
        return float("inf")


class OneTeardown(Good):
    """Can be torn down once, after setup."""

    def setup(self, context: Any) -> None:
        self.model = object()

    def teardown(self) -> None:
        del self.model


class Reversing(Good):
    """1 on chosen responses; walks its batch from the back."""

    def score(self, batch: Any) -> Any:
        batch.reverse()
        return super().score(batch)

    def values(self, example: Any) -> Any:
        return [float(example.side == "chosen")] * len(example.response_ids)


class Sorting(Reversing):
    """The same, shortest response first, without a trace in the batch."""

    def score(self, batch: Any) -> Any:
        return Good.score(self, sorted(batch, key=lambda example: len(example.response_ids)))

    def values(self, example: Any) -> Any:
        return Spans([(0, 0, 0.0)], fill=float(example.side == "chosen"))


class Consuming(Good):
    """Takes its batch apart."""

    def score(self, batch: Any) -> Any:
        return [self.values(batch.pop(0)) for _ in range(len(batch))]


ORDER = "it leaves the order of its batch alone"
STATE = "it changes neither examples nor global random states"
FINGERPRINT = "its fingerprint is json and stable"


@pytest.mark.parametrize(
    ("reward", "check", "said"),
    [
        (Drawn(), "it gives the same values after a second setup", "seed your own generator"),
        (OfTheBatch(), "its values do not depend on the batch", "its own example only"),
        (Counting(), "its values do not depend on the batch", "what was scored before"),
        (Consuming(), ORDER, "items and then 0"),
        (Mutating(), STATE, "Mutating changed the examples that it was given"),
        (MovingRandom(), STATE, "global random state of random,"),
        (MovingNumpy(), STATE, "global random state of numpy,"),
        (SeedingTorch(), STATE, "global random state of torch,"),
        (Undocumented(), "it is documented", "Undocumented has no docstring"),
        (WithoutHelp(), "its options have help", "option without help: size"),
        (WithSet(), "its options are json", "must be JSON values"),
        (UnknownNeed(), "its needs are known", "reward_model"),
        (RandomFingerprint(), FINGERPRINT, "stored scores would never be used again"),
        (PathFingerprint(), FINGERPRINT, "must be JSON values"),
        (InfiniteScale(), "its scale is a finite number", "got inf"),
        (OneTeardown(), "it can be torn down twice", "model"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, TokenReward) else "",
)
def test_a_broken_promise_fails_the_check_that_names_it(reward: Any, check: str, said: str) -> None:
    found = failures(TokenRewardContract, reward)
    assert said in found[check]
    # Values drawn anew each time differ between batches, too.
    also = {"its values do not depend on the batch"} if isinstance(reward, Drawn) else set()
    assert set(found) == {check, *also}


@pytest.mark.parametrize(("plugin", "in_place"), [(Reversing(), True), (Sorting(), False)])
def test_a_reward_that_answers_in_another_order_than_it_was_asked_is_seen(
    plugin: Any, in_place: bool
) -> None:
    found = failures(TokenRewardContract, plugin)
    assert "its values do not depend on the batch" in found
    assert ("changed the order of its batch in place" in found.get(ORDER, "")) is in_place


class InPlace(Transform):
    """Doubles the tensor that it was given."""

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        return rewards.mul_(2)


class Remembering(Transform):
    """Adds the first value of the response before."""

    last = 0.0

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        last, self.last = self.last, float(rewards[0])
        return rewards + last


class TensorState(Transform):
    """Statistics as a tensor."""

    def fit(self, rewards: Any, examples: Any) -> Any:
        return {"first": rewards[0]}

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        return rewards


class FirstOfAll(Transform):
    """Statistics that depend on the order."""

    def fit(self, rewards: Any, examples: Any) -> Any:
        return {"first": float(rewards[0][0])}

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        return rewards - state["first"]


class Shortening(Transform):
    """Drops a value."""

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        return rewards[1:]


@pytest.mark.parametrize(
    ("transform", "check", "said"),
    [
        (InPlace(), "it changes neither its inputs nor global random states", "work on a copy"),
        (Remembering(), "its values do not depend on what came before", "keep nothing in self"),
        (TensorState(), "it gives finite values of the same shape", "must be JSON values"),
        (
            FirstOfAll(),
            "its statistics do not depend on the order of the training set",
            "Statistics must be those of a set",
        ),
        (Shortening(), "it gives finite values of the same shape", "expected a tensor of shape"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Transform) else "",
)
def test_a_transforms_broken_promise_fails_the_check_that_names_it(
    transform: Any, check: str, said: str
) -> None:
    assert said in failures(TransformContract, transform)[check]


class Exploding(Shaping):
    """exp(exp(r)), which is infinite before long."""

    def f_w(self, rewards: Any) -> Any:
        return rewards.exp().exp()

    f_l = f_w


class Annealed(Shaping):
    """Weights that fall from pair to pair."""

    step = 0

    def f_w(self, rewards: Any) -> Any:
        self.step += 1
        return rewards / self.step

    def f_l(self, rewards: Any) -> Any:
        return rewards


class ShapingInPlace(Shaping):
    """Changes the rewards."""

    def f_w(self, rewards: Any) -> Any:
        return rewards.add_(1)

    f_l = f_w


@pytest.mark.parametrize(
    ("shaping", "check", "said"),
    [
        (Exploding(), "it gives finite weights of the same shape", "not finite"),
        (Annealed(), "its weights do not depend on what came before", "keep nothing in self"),
        (
            ShapingInPlace(),
            "it changes neither rewards nor global random states",
            "changed the rewards",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Shaping) else "",
)
def test_a_shapings_broken_promise_fails_the_check_that_names_it(
    shaping: Any, check: str, said: str
) -> None:
    found = failures(ShapingContract, shaping)
    assert said in found[check]


class Ranking(Judge):
    """The place in the batch."""

    def score(self, batch: Any) -> Any:
        return [float(i) for i in range(len(batch))]


class Silent(Judge):
    """No score for an empty response."""

    def score(self, batch: Any) -> Any:
        return [1.0 for generation in batch if generation.response]


class RankingOfPairs(Ranking):
    """The place in the batch of pairs."""

    reads = "pairs"
    score_pairs = Ranking.score


class Coin(Judge):
    """One draw for all."""

    reads = "pairs"

    def score_pairs(self, batch: Any) -> Any:
        return [0 * random.random() for _ in batch]


class Eater(Judge):
    """Takes messages away."""

    reads = "pairs"

    def score_pairs(self, batch: Any) -> Any:
        for pair in batch:
            if not isinstance(pair.prompt, str):
                pair.prompt.append("more")
        return [0.0 for _ in batch]


class SortingJudge(Judge):
    """The length of the answer; sorts its batch in place."""

    def score(self, batch: Any) -> Any:
        batch.sort(key=lambda generation: len(generation.response))
        return [float(len(generation.response)) for generation in batch]


class CopyingJudge(Judge):
    """The length of the chosen response, in an order of its own."""

    reads = "pairs"

    def score_pairs(self, batch: Any) -> Any:
        return [float(len(p.chosen)) for p in sorted(batch, key=lambda p: len(p.chosen))]


class Comparing(Judge):
    """How often the first answer is shown: by position, or without bound."""

    reads = "comparisons"
    by: str = option("position", help="what it goes by")

    def compare(self, batch: Any) -> Any:
        return [
            {
                "position": float(number == 0),
                "length": float(len(item.first.response)),
                "nothing": Unjudged("never asked"),
                "no reason": Unjudged(""),
                "words": "the first",
            }[self.by]
            for number, item in enumerate(batch)
        ]


class UnjudgedPairs(Judge):
    """Has no number of a pair."""

    reads = "pairs"

    def score_pairs(self, batch: Any) -> Any:
        return [Unjudged("too hard") for _ in batch]


class NoRecord(Judge):
    """Has a record that no file can hold."""

    def score(self, batch: Any) -> Any:
        return [1.0 for _ in batch]

    def record(self) -> Any:
        return {"when": object()}


class Unsaid(Judge):
    """Has forgotten to say what it reads."""

    def score_pairs(self, batch: Any) -> Any:
        return [0.0 for _ in batch]


@pytest.mark.parametrize(
    ("judge", "check", "said"),
    [
        (Ranking(), "its scores do not depend on the batch", "its own answer or pair only"),
        (
            Silent(),
            "it gives one finite score each",
            "must return 16 finite numbers or Unjudged(reason), got 15",
        ),
        (RankingOfPairs(), "its scores do not depend on the batch", "its own answer or pair only"),
        (Coin(), "it changes neither its input nor global random states", "random state of random"),
        (Eater(), "it changes neither its input nor global random states", "changed the prompts"),
        (SortingJudge(), ORDER, "changed the order of its batch in place"),
        (Unsaid(), "it gives one finite score each", "say reads = 'pairs'"),
        (Comparing(), "its scores do not depend on the batch", "0.0 and then 1.0"),
        (Comparing(by="length"), "it gives one finite score each", "from 0 (the second is better)"),
        (Comparing(by="nothing"), "it judges something", "no verdict on any of 16: never asked"),
        (Comparing(by="no reason"), "it gives one finite score each", "without a reason"),
        (Comparing(by="words"), "it gives one finite score each", "got 'the first'"),
        (UnjudgedPairs(), "it gives one finite score each", "got Unjudged(reason='too hard')"),
        (NoRecord(), "its record is json", "must be JSON values"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Judge) else "",
)
def test_a_judges_broken_promise_fails_the_check_that_names_it(
    judge: Any, check: str, said: str
) -> None:
    assert said in failures(JudgeContract, judge)[check]


@pytest.mark.parametrize("judge", [SortingJudge(), CopyingJudge()])
def test_a_judge_that_answers_in_another_order_than_it_was_asked_is_seen(judge: Any) -> None:
    assert "its scores do not depend on the batch" in failures(JudgeContract, judge)


class Numbers(NamedDataset):
    """Rows that differ each time, of which one is no pair, for any split."""

    def rows(self, split: str) -> Any:
        number = random.SystemRandom().random()
        return [
            {"prompt": "?", "chosen": f"{number}", "rejected": "no"},
            {"prompt": "?", "chosen": "yes"},
        ]


def test_a_data_sets_broken_promises_fail_the_checks_that_name_them() -> None:
    found = failures(DatasetContract, Numbers())
    assert set(found) == {
        "every row is a preference pair",
        "it gives the same rows twice",
        "an unknown split is refused with those that exist",
    }
    assert "train row 2: no field 'rejected'" in found["every row is a preference pair"]


@pytest.mark.parametrize("plugin", [None, Good])
def test_a_contract_without_an_instance_says_what_to_write(plugin: Any) -> None:
    contract = TokenRewardContract()
    if plugin:
        contract.plugin = plugin
    with pytest.raises(AssertionError, match=r"write plugin = MyPlugin\(\.\.\.\)"):
        contract.test_it_is_documented()


class Ungraded(Good):
    """Turns gradients off for everybody, in setup."""

    def setup(self, context: Any) -> None:
        import torch

        torch.set_grad_enabled(False)


class UngradedScore(Good):
    """Turns gradients off for everybody, in score."""

    def score(self, batch: Any) -> Any:
        Ungraded.setup(self, None)  # type: ignore[arg-type]
        return super().score(batch)


class UngradedTransform(Transform):
    """Turns gradients off for everybody."""

    def __call__(self, rewards: Any, example: Any, state: Any) -> Any:
        Ungraded.setup(self, None)  # type: ignore[arg-type]
        return rewards


class UngradedShaping(Shaping):
    """Turns gradients off for everybody."""

    def f_w(self, rewards: Any) -> Any:
        Ungraded.setup(self, None)  # type: ignore[arg-type]
        return rewards

    f_l = f_w


class UngradedJudge(Judge):
    """Turns gradients off for everybody."""

    def score(self, batch: Any) -> Any:
        Ungraded.setup(self, None)  # type: ignore[arg-type]
        return [0.0 for _ in batch]


@pytest.mark.parametrize(
    ("contract", "plugin"),
    [
        (TokenRewardContract, Ungraded()),
        (TokenRewardContract, UngradedScore()),
        (TransformContract, UngradedTransform()),
        (ShapingContract, UngradedShaping()),
        (JudgeContract, UngradedJudge()),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, type) else "",
)
def test_a_plugin_that_changes_a_setting_of_the_process_is_seen(contract: Any, plugin: Any) -> None:
    import torch

    found = failures(contract, plugin)
    assert any("changed the gradient mode of torch" in failure for failure in found.values())
    assert torch.is_grad_enabled()
