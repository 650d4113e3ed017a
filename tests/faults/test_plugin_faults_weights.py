"""Transforms, shapings and losses with a fault: each is named with distribution and row."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str]]
Install = Callable[..., str]

TRANSFORM = """
import torch
from tgdpo_core import Transform, hookimpl

class Faulty(Transform):
    "A transform with a fault."

    def fit(self, rewards, examples):
        return {fit}

    def __call__(self, rewards, example, state):
        return {call}

@hookimpl
def register_transforms(register):
    register("faulty", Faulty)
"""

SHAPING = """
import torch
from tgdpo_core import Shaping, hookimpl

class Faulty(Shaping):
    "A shaping with a fault."

    def __call__(self, w, l):
        return {call}

@hookimpl
def register_shapings(register):
    register("faulty", Faulty)
"""

LOSS = """
import torch
from tgdpo_core import Loss, PairLosses, hookimpl

class Faulty(Loss):
    "A loss with a fault."
    needs = {needs}

    def over_vocabulary(self, log_p, log_q):
        return {{"x": log_p.sum(-1) * float("nan")}}

    def __call__(self, pairs):
        return {call}

@hookimpl
def register_losses(register):
    register("faulty", Faulty)
"""

TRANSFORMS = {
    "short": ("{}", "rewards[:-1]", r", \S*pairs.jsonl:1 \(chosen\): got \[\d+\], expected"),
    "raises": ("{}", "1 / 0", r" failed on \S*pairs.jsonl:1 \(chosen\): ZeroDivisionError"),
    "draws": ("{}", "torch.rand_like(rewards)", r", \S*pairs.jsonl:1 \(chosen\): the plugin drew"),
    "a state that is NaN": (
        "{'a': float('nan')}",
        "rewards",
        r": what fit returns is kept in run.json, and \{'a': nan\} is no JSON",
    ),
    "a state that is no JSON": ("{'a': object()}", "rewards", "is no JSON: Object of type object"),
    "a state that is none": ("None", "rewards", "fit must return a dict, got NoneType"),
}

SHAPINGS = {
    "short": ("(w[:-1], l)", r", \S*pairs.jsonl:1 \(chosen\): got \[\d+\], expected"),
    "draws": ("(torch.rand_like(w), l)", r", \S*pairs.jsonl:1: the plugin drew from"),
    "changes a setting": (
        "(torch.set_default_dtype(torch.float64), (w, l))[1]",
        r", \S*pairs.jsonl:1: the plugin changed the default dtype of torch",
    ),
}

LOSSES = {
    "a constant": (4, "torch.ones(pairs.num_pairs, requires_grad=True)", "do not depend on the"),
    "works in place": (
        4,
        "(pairs.reference_logps.add_(5), -pairs.margins)[1]",
        r"pairs.jsonl:\d: it changed pairs.reference_logps in place",
    ),
    "NaN": (
        6,
        "-pairs.margins * float('nan')",
        r"The loss of \S+:\d is nan.*that {who} was given are finite: look at what it makes",
    ),
    "a metric that is NaN": (
        6,
        "PairLosses(-pairs.margins, None, {'x': pairs.margins * float('nan')})",
        r"The metric 'x' of {who} is nan for \S*pairs.jsonl:\d at step 0",
    ),
    "a margin that is NaN": (
        6,
        "PairLosses(-pairs.margins, pairs.margins * float('nan'))",
        r"The margin that {who} returned is nan for \S*pairs.jsonl:\d",
    ),
    "a NaN over the vocabulary": (
        6,
        "-pairs.margins",
        r"gradient norm is nan.* NaN is 'x' of over_vocabulary of {who}, for \S*pairs.jsonl:\d",
    ),
    "more top tokens than there are": (
        4,
        "-pairs.margins + 0",
        r"{who} needs the 100000 most likely tokens \(top:100000\); the vocabulary has \d+\.",
    ),
}
NEEDS = {
    "a NaN over the vocabulary": "('vocabulary',)",
    "more top tokens than there are": "('policy_top:100000',)",
}


@pytest.mark.parametrize("fault", TRANSFORMS)
def test_a_transforms_fault_is_named_with_its_own_distribution_and_the_row(
    install: Install, train: Command, fault: str
) -> None:
    fit, call, said = TRANSFORMS[fault]
    distribution = install(TRANSFORM.format(fit=fit, call=call))
    code, error = train("--reward-plugin", "random", "--reward-transform", "faulty")
    assert code == 4, error
    who = rf"transform 'faulty' \({distribution}\) of token reward 'random' \(tgdpo \S+\)"
    assert re.search(f"{who}.*{said}", error), error
    assert "bug in tgdpo" not in error


@pytest.mark.parametrize("fault", SHAPINGS)
def test_a_shapings_fault_is_named_with_distribution_and_row(
    install: Install, train: Command, fault: str
) -> None:
    call, said = SHAPINGS[fault]
    distribution = install(SHAPING.format(call=call))
    code, error = train("--reward-plugin", "random", "--shaping", "faulty")
    assert code == 4, error
    assert re.search(rf"shaping 'faulty' \({distribution}\){said}", error), error


@pytest.mark.parametrize("fault", LOSSES)
def test_a_losses_fault_is_named_and_leaves_no_wrong_number(
    install: Install, train: Command, tmp_path: Path, fault: str
) -> None:
    expected, call, said = LOSSES[fault]
    distribution = install(LOSS.format(call=call, needs=NEEDS.get(fault, "()")))
    arguments = ("--reward-plugin", "random", "--set", "loss.name=faulty")
    code, error = train(*arguments, "--set", "training.logging_steps=1")
    assert code == expected, error
    who = rf"loss 'faulty' \({distribution}\)"
    assert re.search(who, error), error
    assert re.search(said.replace("{who}", who), error, re.DOTALL), error
    log = tmp_path / "run" / "logs" / "train.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    assert all("loss" not in json.loads(line) for line in lines)
