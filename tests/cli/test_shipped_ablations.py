"""The quick form of every shipped ablation runs, and what it finds lies in wide bands.

One seed of one world and a few epochs: the bands are far wider than what other threads or another
processor change, and still exclude a reward that does the opposite of what it should. Of each form
the cells are run that a band names, with those that they read, up to the last epoch of a band;
`make prove-ablations` runs the quick forms whole, in processes of their own.
"""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from click.testing import CliRunner

from tests.in_process import InProcess
from tgdpo_cli.main import cli
from tgdpo_cli.shipped_recipes import is_ablation, shipped_recipes
from tgdpo_core.experiments import executors, planning
from tgdpo_core.experiments.tasks import Ablation, CellRun


class Band(NamedTuple):
    """Solved rate of sampled answers, a cell minus another one at an epoch."""

    cell: str
    other: str
    epoch: float
    low: float
    high: float


EXPECTED = {
    "playground-alpha": [
        Band("ones", "dpo,beta=0.1", 1, 0, 0),
        Band("oracle,alpha=1", "dpo,beta=0.1", 1, 0.02, 0.40),
    ],
    "playground-rewards": [
        Band("oracle", "dpo,beta=0.1", 1, 0.02, 0.25),
        Band("oracle", "random", 1, 0.00, 0.50),
        Band("random", "dpo,beta=0.1", 1, -0.10, 0.08),
        Band("oracle+class-mean", "dpo,beta=0.1", 1, -0.08, 0.10),
    ],
    "playground-quickstart": [Band("oracle,beta=0.1", "dpo,beta=0.1", 1, 0.00, 0.30)],
    "playground-reward-beta": [
        Band("induced,reward_beta=0.1", "dpo,beta=0.1", 1, -0.06, 0.15),
        Band("induced,reward_beta=0.5", "induced,reward_beta=0.05", 1, -0.08, 0.16),
    ],
    "playground-convergence": [Band("oracle,beta=0.1", "dpo,beta=0.1", 3, 0.05, 0.60)],
    "playground-cross-domain": [Band("oracle,beta=0.1", "dpo,beta=0.1", 1, -0.06, 0.16)],
    "playground-noisy": [
        Band("oracle,beta=0.1", "dpo,beta=0.1", 1, 0.02, 0.30),
        Band("random", "dpo,beta=0.1", 1, -0.12, 0.10),
    ],
    "playground-prm": [
        Band("recommended", "dpo,beta=0.5", 1, 0.00, 0.35),
        Band("recommended", "recommended+permute", 1, 0.00, 0.50),
    ],
    "playground-tdpo": [Band("oracle-tdpo2", "dpo,beta=0.5,name=tdpo2", 1, -0.02, 0.30)],
    "playground-no-step-labels": [Band("contrast", "dpo,beta=0.5", 1, -0.15, 0.20)],
}
AT_THE_END = {  # of the quick form, where it is trained for longer
    "playground-alpha": [
        Band("ones", "dpo,beta=0.1", 2, 0, 0),
        Band("oracle,alpha=1", "dpo,beta=0.1", 2, 0.05, 0.40),
    ],
    "playground-rewards": [Band("oracle", "random", 3, 0.02, 0.50)],
    "playground-cross-domain": [Band("oracle,beta=0.1", "dpo,beta=0.1", 2, -0.06, 0.16)],
    "playground-prm": [
        Band("recommended", "dpo,beta=0.5", 2, 0.00, 0.35),
        Band("recommended", "recommended+permute", 2, 0.02, 0.50),
    ],
    "playground-no-step-labels": [Band("contrast", "dpo,beta=0.5", 2, -0.15, 0.20)],
}
IN_FULL = os.environ.get("TGDPO_PROVE_ABLATIONS") == "1"  # make prove-ablations


def test_every_shipped_ablation_of_the_playground_has_bands() -> None:
    """Those of a real model, smol-*, find nothing on a random one: test_smol_recipes.py."""
    names = {name for name, file in shipped_recipes().items() if is_ablation(file)}
    assert set(EXPECTED) == {name for name in names if not name.startswith("smol-")}


def cells_of_bands(ablation: Ablation, bands: list[Band]) -> Ablation:
    """Return the cells that bands name, trained as long as is compared, and what they read."""
    known = {run.key: run for run in ablation.runs}
    names = {name for band in bands for name in (band.cell, band.other)}
    named = {key for key, run in known.items() if run.cell.name in names}
    assert len(named) == len(names), f"a band names a cell that is not there: {names}"
    needed, found = set[str](), named
    while found := found - needed:
        needed |= found
        found = {need for key in found for need in known[key].needs & known.keys()}
    last = max(int(band.epoch) for band in bands)
    return dataclasses.replace(
        ablation,
        runs=[
            up_to(run, last) if key in named else run for key, run in known.items() if key in needed
        ],
    )


def up_to(run: CellRun, epoch: int) -> CellRun:
    """Return a run that ends after an epoch; its learning rate does not depend on the number."""
    training = {**run.recipe.training, "num_train_epochs": epoch}
    return dataclasses.replace(run, recipe=run.recipe.model_copy(update={"training": training}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for all of them: the pairs and the reference are mostly the same."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize(
    "name", [name for name, file in shipped_recipes().items() if is_ablation(file)]
)
def test_every_cell_of_the_whole_form_can_be_planned(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["ablate", "--config", name, "--dry-run", "--output-dir", str(out)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    assert not done.return_value, done.output
    assert not out.exists()


@pytest.mark.parametrize("name", EXPECTED)
def test_the_quick_form_finds_what_it_should(
    name: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not IN_FULL:
        plan = planning.plan_ablation
        monkeypatch.setattr(
            planning, "plan_ablation", lambda *args: cells_of_bands(plan(*args), EXPECTED[name])
        )
        monkeypatch.setattr(executors, "LocalExecutor", InProcess)
        monkeypatch.setenv("TGDPO_STORE", str(store))
    out = tmp_path / "out"
    arguments = ["ablate", "--config", name, "--quick", "--output-dir", str(out)]
    resources = ["--jobs", "1", "--cpus-per-cell", "1"]
    done = CliRunner().invoke(
        cli, [*arguments, *resources], catch_exceptions=False, standalone_mode=False
    )
    assert not done.return_value, done.output
    rows = pd.read_csv(out / "results.csv").set_index(["cell", "epoch"])["judge/sampled"]
    start = rows.xs(0.0, level="epoch")
    assert start.between(0.2, 0.5).all()  # the base model, before training
    for band in EXPECTED[name] + (AT_THE_END.get(name, []) if IN_FULL else []):
        found = rows[band.cell, band.epoch] - rows[band.other, band.epoch]
        assert band.low <= found <= band.high, f"{band}: {found:+.3f}"
