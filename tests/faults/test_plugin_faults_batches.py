"""What a plugin does to its batch reaches no value: it is named, or it changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tgdpo_cli.main import cli

Command = Callable[..., Any]

VALUE = "[float(e.side == 'chosen')] * len(e.response_ids)"
WAYS = {
    "reversed": (f"batch.reverse(); return [{VALUE} for e in batch]", "changed the order"),
    "sorted": (
        f"batch.sort(key=lambda e: (e.side, len(e.response_ids))); "
        f"return [{VALUE} for e in reversed(batch)]",
        "changed the order",
    ),
    "replaced": (f"batch[0] = batch[-1]; return [{VALUE} for e in batch]", "changed the order"),
    "taken apart": (
        "e = None\nreturn [[0.0] * len(batch.pop(0).response_ids) for _ in range(len(batch))]",
        "had 4 items and then 0",
    ),
    "taken apart from the back": (
        "return [[0.0] * len(batch.pop().response_ids) for _ in range(len(batch))]",
        "had 4 items and then 0",
    ),
    "cleared": (
        f"values = [{VALUE} for e in batch]; batch.clear(); return values",
        "had 4 items and then 0",
    ),
    "extended": (
        f"values = [{VALUE} for e in batch]; batch.append(batch[0]); return values",
        "had 4 items and then 5",
    ),
}
# Responses of one token length in both pairs, and of four lengths.
LENGTHS = {
    "equal": [("It is 4.", "It is 5."), ("It is 6.", "It is 7.")],
    "varied": [("It is 4.", "No."), ("Now it is, surely it is.", "Never, ever.")],
}


def write_rows(path: Path, lengths: str) -> None:
    rows = [
        {"prompt": f"Question {i}?\n", "chosen": chosen, "rejected": rejected}
        for i, (chosen, rejected) in enumerate(LENGTHS[lengths])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("way", WAYS)
def test_a_reward_that_changes_its_batch_in_place_is_named_and_nothing_is_stored(
    faulty: Callable[[str], str], score: Command, data: Path, tmp_path: Path, way: str, lengths: str
) -> None:
    body, said = WAYS[way]
    distribution = faulty(body)
    write_rows(data, lengths)
    done = score()
    assert done.code == 4, done.error
    assert said in done.error
    assert distribution in done.error
    assert "pairs.jsonl:" in done.error
    keys = [json.loads(path.read_text()) for path in (tmp_path / "store").rglob("key.json")]
    assert len(list((tmp_path / "store").rglob("*.safetensors"))) <= sum(
        "logps" in json.dumps(key) for key in keys
    )


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_reward_that_sorts_a_copy_and_answers_in_the_old_order_is_taken(
    faulty: Callable[[str], str], score: Command, data: Path, lengths: str
) -> None:
    faulty(f"return [{VALUE} for e in sorted(sorted(batch, key=id), key=batch.index)]")
    write_rows(data, lengths)
    done = score()
    assert done.code == 0, done.error


JUDGES = """
from tgdpo_core import Judge, hookimpl

class Faulty(Judge):
    "The length of an answer."
    def score(self, batch):
        {body}

@hookimpl
def register_judges(register):
    register("faulty-judge", Faulty)
"""
JUDGE_WAYS = {
    "reversed": "batch.reverse(); return [float(len(g.response)) for g in batch]",
    "sorted": "batch.sort(key=lambda g: g.prompt); return [1.0] * len(batch)",
    "emptied": "n = len(batch); batch.clear(); return [0.0] * n",
}


@pytest.mark.parametrize("way", JUDGE_WAYS)
def test_a_judge_that_changes_its_batch_in_place_is_named(
    install: Callable[..., str], tgdpo: Command, data: Path, model_folder: Path, way: str
) -> None:
    distribution = install(JUDGES.format(body=JUDGE_WAYS[way]))
    done = tgdpo(
        *("evaluate", str(model_folder), "--dataset", str(data), "--split", "train"),
        *("--judge", "faulty-judge", "--max-new-tokens", "3"),
    )
    assert done.code == 4, done.error
    assert "changed" in done.error
    assert "faulty-judge" in done.error
    assert distribution


def test_what_a_judge_does_to_prompts_and_columns_is_not_what_is_written(
    install: Callable[..., str], tgdpo: Command, tmp_path: Path, model_folder: Path
) -> None:
    install(
        JUDGES.format(
            body="[g.prompt.append('mine') or g.columns.clear() for g in batch]; "
            "return [float(len(g.prompt)) for g in batch]"
        )
    )
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is {i}?"}],
            "chosen": [{"role": "assistant", "content": "Yes."}],
            "rejected": [{"role": "assistant", "content": "No."}],
        }
        for i in range(2)
    ]
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = tgdpo(
        *("evaluate", str(model_folder), "--dataset", str(path), "--split", "train"),
        *("--judge", "faulty-judge", "--max-new-tokens", "2", "--json"),
    )
    assert done.code == 0, done.error


IN_PLACE = """
import torch
from tgdpo_core import Shaping, Transform, hookimpl

class Doubled(Transform):
    "Doubles in place, and takes apart what it is fitted on."
    def fit(self, rewards, examples):
        for values in rewards:
            values.zero_()
        rewards.clear()
        return {}
    def __call__(self, rewards, example, state):
        return rewards.mul_(2)

class Longer(Transform):
    "Changes the number of values of the tensor that it was given."
    def __call__(self, rewards, example, state):
        return rewards.resize_(len(rewards) + 1).zero_()

class One(Shaping):
    "1 everywhere, in place."
    def f_w(self, rewards):
        return rewards.zero_().add_(1)
    def f_l(self, rewards):
        return rewards.zero_().add_(1)

@hookimpl
def register_transforms(register):
    register("doubled", Doubled)
    register("longer", Longer)

@hookimpl
def register_shapings(register):
    register("one", One)
"""


def test_transforms_and_shapings_that_work_in_place_give_what_the_others_give(
    install: Callable[..., str], data: Path, model_folder: Path
) -> None:
    install(IN_PLACE)

    def described(transform: str, shaping: str) -> Any:
        command = ["score", "--model", str(model_folder), "--dataset", str(data), "--json"]
        command += ["--reward-plugin", "random", "--describe", "--shaping", shaping]
        command += ["--reward-transform", transform]
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        return json.loads(result.stdout)["diagnostics"]

    assert described("doubled", "one") == described("scale:factor=2", "constant")


def test_a_transform_that_changes_the_length_of_its_tensor_is_named(
    install: Callable[..., str], score: Command
) -> None:
    install(IN_PLACE)
    done = score("--reward-transform", "longer", "--describe", reward="random")
    assert done.code == 4, done.error
    assert "transform 'longer'" in done.error
