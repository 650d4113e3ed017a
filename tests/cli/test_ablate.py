"""``tgdpo ablate``: options, the plan it shows, preparations, exit codes."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tgdpo_cli.main import cli, run

MAKE_PAIRS = r"""
import json
from pathlib import Path

import click

from tgdpo_core import hookimpl


@hookimpl
def register_commands(cli):
    @cli.command("make-pairs")
    @click.option("--rows", type=int, required=True)
    @click.option("--output", type=Path, required=True)
    def make_pairs(rows, output):
        print("making pairs")
        if rows < 1:
            raise click.UsageError("--rows: there must be one.")
        output.mkdir(parents=True, exist_ok=True)
        pair = {"prompt": "4*7+2=", "chosen": " here *28 then +30", "rejected": " here *28 so +22"}
        lines = [json.dumps(pair)] * rows
        (output / "pairs.jsonl").write_text("".join(line + "\n" for line in lines))
        with (output / "calls").open("a") as file:
            file.write("called")
"""

ABLATION: dict[str, Any] = {
    "recipe": {
        "model": {"name_or_path": "playground"},
        "data": {"path": "{prepared:pairs}/pairs.jsonl"},
        "training": {"max_steps": 1, "per_device_train_batch_size": 2, "use_cpu": True},
    },
    "seeds": 3,
    "prepare": {"pairs": "make-pairs --rows 4"},
    "variants": {"dpo": {}, "r": {"reward": "random", "beta": [0.1, 0.5]}},
    "quick": {"variants": ["dpo"], "set": {"loss.beta": 0.3}},
}


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


Tgdpo = Callable[..., Done]


@pytest.fixture
def tgdpo(capsys: pytest.CaptureFixture[str]) -> Tgdpo:
    """A function that runs a command line as the program does."""

    def call(*arguments: str) -> Done:
        code = run(lambda: cli.main(list(arguments), prog_name="tgdpo", standalone_mode=False))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def plan(tgdpo: Tgdpo) -> Callable[..., list[dict[str, Any]]]:
    """A function that returns the cells of a dry run of seed 0."""

    def call(*arguments: str) -> list[dict[str, Any]]:
        done = tgdpo("ablate", *arguments, "--dry-run", "--json")
        assert done.code == 0, done.err
        return [cell for cell in json.loads(done.out)["cells"] if cell["seed"] == 0]

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(ABLATION))
    return path


def names(cells: list[dict[str, Any]]) -> list[str]:
    return [cell["name"] for cell in cells]


FLAGS = ("--config", "playground", "--reward-plugin", "playground-oracle", "random")


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alphas",
    [
        ["--alpha", "0", "0.5", "2"],
        ["--alpha", "0,0.5,2"],
        ["--alpha", "0", "--alpha", "0.5", "--alpha", "2"],
        ["--alpha", "0,0.5", "2", "2"],
        ["--alpha=0", "0.5", "2"],
    ],
)
def test_a_list_may_be_written_in_several_ways(plan: Any, alphas: list[str]) -> None:
    cells = plan(*FLAGS, *alphas, "--beta", "0.1")
    assert names(cells) == [
        "dpo",
        "playground-oracle,alpha=0.5",
        "playground-oracle,alpha=2",
        "random,alpha=0.5",
        "random,alpha=2",
    ]


@pytest.mark.parametrize("alphas", [["-1", "-.5"], ["-1,-.5"], ["-1", "--alpha", "-.5"]])
def test_negative_numbers_are_no_options(plan: Any, alphas: list[str]) -> None:
    cells = plan(*FLAGS[:-1], "--alpha", *alphas, "--beta", "0.1")
    assert [cell["settings"].get("alpha") for cell in cells] == [None, -1.0, -0.5]


def test_the_flags_make_one_variant_of_each_reward(plan: Any) -> None:
    cells = plan(
        *("--config", "playground", "--reward-plugin", "none", "induced", "random"),
        *(
            "--reward-arg",
            "induced.model={run:none,beta=0.1}",
            "--reward-arg",
            "random.seed={seed}",
        ),
        *("--reward-transform", "rms", "clip:max=2", "--control", "permute"),
        *("--shaping", "linear", "symmetric", "--beta", "0.1", "0.5"),
    )
    found = {cell["name"]: cell for cell in cells}
    assert len(cells) == 2 + 2 * (2 * 2) * 2
    control = found["induced+permute,shaping=symmetric,beta=0.5"]
    assert control["control"]
    assert control["baseline"] == "none,beta=0.5"
    assert control["settings"]["transforms"] == "rms, clip+max=2, permute"
    assert found["none,beta=0.5"]["baseline"] == "none,beta=0.1"


def test_the_reward_beta_is_an_option_of_the_reward(plan: Any) -> None:
    cells = plan(
        *(
            "--config",
            "playground",
            "--reward-plugin",
            "induced",
            "--reward-arg",
            "model={run:dpo}",
        ),
        *("--reward-beta", "0.05", "0.5"),
    )
    assert [cell["settings"].get("reward_beta") for cell in cells] == [None, 0.05, 0.5]


MINE = """
model: {name_or_path: playground}
data: {path: playground}
reward:
  - {plugin: playground-oracle, weight: 2.0, transforms: [{name: rms}]}
  - {plugin: random, args: {seed: 3}}
shaping: {name: symmetric, args: {alpha: 0.7}}
loss: {beta: 0.5}
output_dir: runs/mine
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The file of a recipe with two rewards, a shaping and a beta of its own."""
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return str(path)


def test_a_recipe_is_ablated_as_it_is_with_the_usual_controls(plan: Any, mine: str) -> None:
    cells = plan("--config", mine)
    both = "playground-oracle+random"
    assert names(cells) == [
        *("dpo", both, f"{both}+permute", f"{both}+class-mean", f"{both}+gaussian")
    ]
    own = cells[1]["recipe"]
    recipe = yaml.safe_load(MINE)
    assert own["shaping"] == recipe["shaping"]
    assert own["loss"]["beta"] == 0.5
    assert [(r["plugin"], r["weight"], r["args"]) for r in own["reward"]] == [
        ("playground-oracle", 2.0, {}),
        ("random", 1.0, {"seed": 3}),
    ]
    assert [t["name"] for t in own["reward"][0]["transforms"]] == ["rms"]
    assert {cell["baseline"] for cell in cells} == {"dpo"}
    assert [cell["control"] for cell in cells] == [True, False, True, True, True]


def test_options_narrow_and_widen_what_the_recipe_says(plan: Any, mine: str) -> None:
    narrow = plan("--config", mine, "--reward-plugin", "random", "--control", "permute")
    assert names(narrow) == ["dpo", "random", "random+permute"]
    assert narrow[1]["recipe"]["reward"][0]["args"] == {"seed": 3}  # of the recipe
    wide = plan("--config", mine, "--control", "none", "--alpha", "0.5", "1")
    assert [cell["settings"]["alpha"] for cell in wide[1:]] == [0.5, 1.0]
    assert {cell["settings"]["shaping"] for cell in wide[1:]} == {"symmetric"}


def test_an_option_of_one_of_two_equal_rewards_is_refused(tgdpo: Tgdpo, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(MINE.replace("playground-oracle", "random"))
    done = tgdpo("ablate", "--config", str(path), "--reward-arg", "random.seed=1", "--dry-run")
    assert done.code == 2
    assert "the recipe has 2 rewards 'random'" in done.err


def test_model_data_and_set_hold_for_all_cells(tgdpo: Tgdpo, tmp_path: Path) -> None:
    done = tgdpo(
        *("ablate", *FLAGS, "--model", "m", "--dataset", "d", "--eval-dataset", "e"),
        *("--set", "training.max_steps=3", "--set", "shaping.args.shift=0.5", "--alpha", "0"),
        *("--output-dir", str(tmp_path / "out"), "--dry-run", "--json"),
    )
    cells = json.loads(done.out)["cells"]
    assert names(cells) == ["dpo", "playground-oracle", "random"]  # a shift: not all weights are 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("given", "seeds"), [("2", [0, 1]), ("4,6", [4, 6]), (None, [0])])
def test_seeds_are_a_number_or_a_list(tgdpo: Tgdpo, given: str | None, seeds: list[int]) -> None:
    option = ["--seeds", given] if given else []
    done = tgdpo("ablate", *FLAGS, *option, "--dry-run", "--json")
    assert [c["seed"] for c in json.loads(done.out)["cells"] if c["name"] == "random"] == seeds


def test_the_plan_is_a_table_and_a_sentence(tgdpo: Tgdpo, file: Path) -> None:
    done = tgdpo("ablate", "--config", str(file), "--dry-run")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["r,beta=0.5", "reward=random,", "shaping=linear,", "beta=0.5", "dpo,beta=0.5"] in lines
    assert ["dpo,beta=0.5", "reward=none,", "beta=0.5", "dpo", "control"] in lines
    assert done.out.rstrip().endswith(
        "4 cells, 3 seeds, 12 runs; first 1 preparation and 2 shared scoring passes. Dry run: "
        "nothing was run."
    )


def test_what_is_not_there_is_not_counted_in_the_sentence(tgdpo: Tgdpo, file: Path) -> None:
    done = tgdpo("ablate", "--config", str(file), "--quick", "--dry-run")
    assert done.out.rstrip().endswith(
        "\n1 cell, 1 seed, 1 run; first 1 preparation. Dry run: nothing was run."
    )


def test_the_quick_form_is_that_of_the_file(tgdpo: Tgdpo, file: Path) -> None:
    done = tgdpo("ablate", "--config", str(file), "--quick", "--dry-run", "--json")
    (cell,) = json.loads(done.out)["cells"]
    assert (cell["name"], cell["seed"], cell["settings"]["beta"]) == ("dpo", 0, 0.3)
    done = tgdpo("ablate", "--config", str(file), "--quick", "--seeds", "2", "--dry-run", "--json")
    assert [cell["seed"] for cell in json.loads(done.out)["cells"]] == [0, 1]


def test_a_file_may_name_its_recipe(plan: Any, tmp_path: Path) -> None:
    path = tmp_path / "named.yaml"
    path.write_text("recipe: playground\nvariants: {r: {reward: random}}\n")
    assert names(plan("--config", str(path))) == ["dpo", "r"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "playground"], "playground is a recipe of plain DPO: give --reward-plugin"),
        (
            ["--config", "recommended", "--reward-arg", "random.seed=1"],
            "--reward-arg random.seed=1: write dense-prm.seed.",
        ),
        (["--config", "plyground"], "Unknown recipe 'plyground'. Did you mean"),
        (
            ["--config", "FILE", "--reward-plugin", "random"],
            "--reward-plugin: FILE has variants of",
        ),
        (["--config", "FILE", "--alpha", "1"], "--alpha: FILE has variants of its own"),
        ([*FLAGS, "--alpha", "0.5", "high"], "0.5,high: expected numbers such as 0.1 0.5."),
        ([*FLAGS, "--alpha", "nan"], "Input should be a finite number"),
        ([*FLAGS, "--seeds", "two"], "--seeds two: expected 4, or 4,5,6."),
        ([*FLAGS, "--seeds", "0"], "seeds: Value should have at least 1 item"),
        ([*FLAGS, "--seeds", "1,1"], "seeds: a seed stands twice in [1, 1]"),
        ([*FLAGS, "--quick"], "This ablation has no quick form"),
        ([*FLAGS, "--reward-arg", "seed=1"], "write playground-oracle.seed or random.seed."),
        ([*FLAGS, "--reward-arg", "seed"], "--reward-arg seed: expected KEY=VALUE."),
        ([*FLAGS, "--set", "loss.betta=1"], "loss.betta: unknown key. Did you mean 'beta'?"),
        ([*FLAGS, "--quick", "more"], "unexpected extra argument"),
        ([*FLAGS, "--address", "auto"], "--address goes with --executor ray."),
        ([*FLAGS, "--gpus-per-cell", "0"], "--gpus-per-cell goes with --executor ray."),
        ([*FLAGS, "--executor", "ray", "--jobs", "2"], "--jobs goes with --executor local."),
        (
            [*FLAGS, "--executor", "ray", "--address", "127.0.0.1:1"],
            "No Ray cluster can be reached",
        ),
        (
            [
                "--config",
                "playground",
                "--reward-plugin",
                "induced",
                "--reward-arg",
                "model={run:dop}",
            ],
            "{run:dop} names no cell. Did you mean 'dpo'?",
        ),
    ],
)
def test_what_does_not_fit_is_a_usage_error(
    tgdpo: Tgdpo, file: Path, arguments: list[str], message: str, tmp_path: Path
) -> None:
    given = [argument.replace("FILE", str(file)) for argument in arguments]
    done = tgdpo("ablate", *given, "--output-dir", str(tmp_path / "out"))
    assert done.code == 2
    assert message.replace("FILE", str(file)) in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_an_unknown_reward_is_a_plugin_error(tgdpo: Tgdpo, tmp_path: Path) -> None:
    arguments = ["--config", "playground", "--reward-plugin", "rnadom"]
    done = tgdpo("ablate", *arguments, "--output-dir", str(tmp_path / "out"))
    assert done.code == 4
    assert "Unknown token-reward 'rnadom'. Did you mean 'random'?" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.checkout
def test_the_file_of_the_docs_has_the_cells_that_they_show(tgdpo: Tgdpo, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ablations.md").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(page.partition("<!-- file: mine.yaml -->\n```yaml\n")[2].partition("```")[0])
    done = tgdpo("ablate", "--config", str(path), "--dry-run")
    assert done.code == 0, done.err
    shown = page.partition("settings shortened):\n\n")[2].partition("\n\n| key")[0].splitlines()
    printed = done.out.splitlines()
    assert [_ends(line) for line in shown] == [_ends(line) for line in printed]


def _ends(line: str) -> list[str]:
    """Return the words of a line of the plan without those of its settings."""
    columns = re.split(r"\s{2,}", line.strip())
    return [columns[0], *columns[2:]]


# -- for real -------------------------------------------------------------------------------------


@pytest.fixture
def ablate(tgdpo: Tgdpo, tmp_path: Path) -> Callable[..., Done]:
    """A function that runs an ablation of one plain DPO, whose pairs are made by a preparation."""
    plugin = tmp_path / "make_pairs.py"
    plugin.write_text(MAKE_PAIRS.replace("\\\\\\\\", "\\\\"))

    def call(rows: int) -> Done:
        content = {**ABLATION, "seeds": 1, "variants": {"dpo": {}}}
        content["prepare"] = {"pairs": f"make-pairs --rows {rows}"}
        path = tmp_path / "one.yaml"
        path.write_text(yaml.safe_dump(content))
        out = ["--output-dir", str(tmp_path / "out"), "--jobs", "1", "--cpus-per-cell", "1"]
        return tgdpo("--plugin-file", str(plugin), "ablate", "--config", str(path), *out)

    return call


def test_a_preparation_is_run_once_and_by_one_command(ablate: Any, tmp_path: Path) -> None:
    first, second, changed = ablate(rows=4), ablate(rows=4), ablate(rows=5)
    assert first.code == 0, first.out + first.err
    assert [line.partition(":")[0] for line in first.out.splitlines()[:2]] == [
        "prepare pairs",
        "dpo (seed 0)",
    ]
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in first.out
    assert "1 cell, 1 seed, 1 run; first 1 preparation. What each prints: " in first.err
    assert second.code == 0
    assert " Finished already: 1. " in second.err
    assert "prepare pairs" not in second.out
    assert "1 runs were finished before and kept." in second.out
    assert changed.code == 2, "the run is finished, but would not be the same"
    assert "prepared/pairs was made by another command than 'prepare pairs' has" in changed.err
    assert (tmp_path / "out" / "prepared" / "pairs" / "calls").read_text() == "called"
    record = json.loads((tmp_path / "out" / "cells" / "dpo" / "seed-0" / "run.json").read_text())
    assert record["data"]["pairs"] == 4


def test_a_preparation_that_fails_is_quoted(ablate: Any, tmp_path: Path) -> None:
    done = ablate(rows=0)
    assert done.code == 5
    folder = tmp_path / "out" / "prepared" / "pairs"
    reason = (
        f"tgdpo make-pairs --rows 0 --output {folder} ended with exit code 2; it said: Error: "
        "--rows: there must be one."
    )
    failed, not_run = [line for line in done.out.splitlines() if line.startswith("FAILED")]
    assert failed == f"FAILED prepare pairs: {reason}"
    assert not_run == f"FAILED dpo (seed 0): not run, since 'prepare pairs' failed: {reason}"
    assert "Traceback" not in done.err
    assert "there must be one" in (tmp_path / "out" / "results.md").read_text()
    assert "making pairs" in (folder / "output.txt").read_text()
