"""The shipped worlds and their splits."""

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_plugins.playground.dataset import WORLDS, Playground
from tgdpo_plugins.playground.demonstrator import Demonstrator
from tgdpo_plugins.playground.task import check_text, parse_prompt

NUM_ROWS = {
    "train": 400,
    "test": 300,
    "other": 1600,
    "train-add-sub": 400,
    "test-add-sub": 300,
    "test-times": 300,
}
OPERATORS = {"train-add-sub": {"+", "-"}, "test-add-sub": {"+", "-"}, "test-times": {"*"}}

each_world = pytest.mark.parametrize("world", WORLDS, ids=range(len(WORLDS)))
each_split = pytest.mark.parametrize("split", NUM_ROWS)


def prompts(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["prompt"] for row in rows]


@each_world
@each_split
def test_the_checker_agrees_with_every_stored_count(world: type[Playground], split: str) -> None:
    rows = list(world().rows(split))
    assert len(rows) == NUM_ROWS[split]
    for row in rows:
        assert check_text(row["prompt"], row["chosen"]).num_errors == row["chosen_errors"]
        assert check_text(row["prompt"], row["rejected"]).num_errors == row["rejected_errors"]
        assert row["chosen_errors"] < row["rejected_errors"]


@each_world
def test_no_prompt_is_in_a_world_twice(world: type[Playground]) -> None:
    everything = [prompt for split in NUM_ROWS for prompt in prompts(world().rows(split))]
    assert len(set(everything)) == len(everything) == sum(NUM_ROWS.values())


@each_world
@pytest.mark.parametrize("split", OPERATORS)
def test_a_split_of_some_operators_has_only_those(world: type[Playground], split: str) -> None:
    steps = [
        step.operator for row in world().rows(split) for step in parse_prompt(row["prompt"]).steps
    ]
    assert set(steps) == OPERATORS[split]


def test_worlds_are_different() -> None:
    for one, other in combinations(WORLDS, 2):
        assert set(prompts(one().rows("train"))).isdisjoint(prompts(other().rows("train")))
        assert (one.folder / "model/model.safetensors").read_bytes() != (
            other.folder / "model/model.safetensors"
        ).read_bytes()


@each_world
def test_the_defects_of_a_world_are_those_of_its_number(
    world: type[Playground], tmp_path: Path
) -> None:
    seed = WORLDS.index(world)
    Demonstrator.draw(random.Random(f"demonstrator {seed}")).save(tmp_path / "defects.json")
    shipped = world.folder / "model" / "defects.json"
    assert (tmp_path / "defects.json").read_bytes() == shipped.read_bytes()


@each_world
def test_every_base_model_is_mediocre(world: type[Playground]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tgdpo_plugins.playground.sampling import respond, solved_rate

    model = AutoModelForCausalLM.from_pretrained(world.model)
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    some = prompts(world().rows("other"))[:200]
    sampled = solved_rate(some, respond(model, tokenizer, prompts=some, seed=0))
    assert 0.2 < sampled < 0.5


@each_world
def test_about_a_fifth_of_the_noisy_labels_are_wrong(world: type[Playground]) -> None:
    clean, noisy = list(world().rows("train")), list(world().rows("train-noisy"))
    assert prompts(noisy) == prompts(clean)
    flipped = [a["chosen"] != b["chosen"] for a, b in zip(clean, noisy, strict=True)]
    assert 0.15 < sum(flipped) / len(flipped) < 0.25


def test_a_flipped_row_has_its_columns_exchanged() -> None:
    clean, noisy = list(Playground().rows("train")), list(Playground().rows("train-noisy"))
    a, b = next((a, b) for a, b in zip(clean, noisy, strict=True) if a["chosen"] == b["rejected"])
    assert b == {
        "prompt": a["prompt"],
        "chosen": a["rejected"],
        "rejected": a["chosen"],
        "chosen_errors": a["rejected_errors"],
        "rejected_errors": a["chosen_errors"],
    }


@each_world
def test_swapped_rows_prefer_what_was_rejected(world: type[Playground]) -> None:
    for row, swapped in zip(world().rows("train"), world().rows("train-swapped"), strict=True):
        assert (swapped["chosen"], swapped["rejected"]) == (row["rejected"], row["chosen"])
        assert swapped["chosen_errors"] > swapped["rejected_errors"]


@each_world
@pytest.mark.parametrize(("whole", "names", "size"), [("train", "ab", 200), ("other", "abcd", 400)])
def test_parts_share_no_row_and_together_are_the_whole(
    world: type[Playground], whole: str, names: str, size: int
) -> None:
    parts = [prompts(world().rows(f"{whole}-{name}")) for name in names]
    assert [len(part) for part in parts] == [size] * len(names)
    # No prompt is in a world twice, so as many different ones as there are rows share none.
    assert {prompt for part in parts for prompt in part} == set(prompts(world().rows(whole)))


@each_world
def test_settings_are_chosen_on_prompts_that_are_neither_trained_nor_tested(
    world: type[Playground],
) -> None:
    selection = prompts(world().rows("selection"))
    assert len(selection) == 300
    for split in ("train", "test"):
        assert not set(selection) & set(prompts(world().rows(split)))


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_rows_are_the_same_whatever_the_hash_seed(hash_seed: str) -> None:
    code = (
        "import json, sys; from tgdpo_plugins.playground.dataset import World1\n"
        "print(json.dumps(list(World1().rows('train-noisy'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == list(WORLDS[1]().rows("train-noisy"))


def test_worlds_are_found_by_name_and_the_playground_is_world_0() -> None:
    plugins = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})
    for number, world in enumerate(WORLDS):
        assert plugins.find("dataset", f"playground-{number}").factory is world
    assert plugins.find("dataset", "playground").factory is WORLDS[0]


def test_the_shipped_files_are_small() -> None:
    files = [path for path in Playground.folder.rglob("*") if path.is_file()]
    shipped = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert sum(path.stat().st_size for path in shipped) < 4_000_000
