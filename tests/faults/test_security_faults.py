"""S1, S4, S10, S11, S12: files, names and cells of strangers do nothing but be read."""

import json
import pickle
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tgdpo_core.errors import TgdpoError
from tgdpo_core.experiments.results import as_csv
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe.paths import check_path
from tgdpo_core.training.durability.manifest import seal

ROOT = Path(__file__).parents[2]


class Evil:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> Any:
        return Path.touch, (self._witness,)


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth"])
def test_S1_a_pickle_in_a_checkpoint_is_not_executed_even_if_its_manifest_is_forged(
    name: str, tmp_path: Path, train: Callable[..., Any]
) -> None:
    options = ("--set", "training.save_strategy=steps", "--set", "training.save_steps=1")
    assert train(*options).code == 0
    checkpoints = tmp_path / "run" / "checkpoints"
    witness = tmp_path / "executed"
    newest = checkpoints / "checkpoint-1"
    shutil.rmtree(checkpoints / "checkpoint-2")
    shutil.rmtree(tmp_path / "run" / "model")
    torch.save({"state": Evil(witness)}, newest / name)
    (newest / "manifest.json").unlink()
    seal(newest, {"step": 1})
    done = train(*options, "--resume")
    assert done.code == 5, done.error
    assert not witness.exists()
    pickle.loads(pickle.dumps(Evil(witness)))  # noqa: S301 - it would have been noticed
    assert witness.exists()


NAMES = st.text(max_size=12) | st.sampled_from(
    ["..", "../x", "/etc/x", "a/../../x", "\0", "CON", "~", "~root/x", "a" * 300, "\ud800", ".", ""]
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(name=NAMES)
def test_S4_a_path_is_one_that_the_system_can_have_or_refused(name: str) -> None:
    try:
        check_path("output_dir", name)
    except (TgdpoError, ValueError):
        return
    Path(name).expanduser().exists()  # no error of the system


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whoever is looked up or connected to; nobody answers."""
    asked: list[Any] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        raise OSError("no network in this test")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, noted)
    monkeypatch.setattr(socket, "getaddrinfo", noted)
    return asked


def test_S10_a_run_looks_nothing_up_and_connects_to_nobody(
    train: Callable[..., Any], asked: list[Any]
) -> None:
    assert train("--reward-plugin", "random").code == 0
    assert asked == []


def test_S9_no_judge_but_llm_asks_a_server_and_that_only_the_one_it_is_given(
    tgdpo: Callable[..., Any],
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    asked: list[Any],
) -> None:
    judges = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""}).names("judge")
    built_in = {"lexicon", "likelihood", "llm", "mood", "reward-model", "rules", "verifier"}
    assert set(judges) == built_in
    words = tmp_path / "words.tsv"
    words.write_text("good\t1\n")
    no_comma = json.dumps([{"id": "punctuation:no_comma"}])
    arguments = {"lexicon": f"path={words}", "rules": f"rules={no_comma}"}
    # `reward-model` reads a model, as models are read; `llm` asks the address that it needs.
    for judge in sorted(set(judges) - {"reward-model", "llm"}):
        given = ("--judge-arg", arguments[judge]) if judge in arguments else ()
        options = ("--dataset", str(data), "--judge", judge, *given)
        done = tgdpo("evaluate", str(model_folder), *options)
        assert done.code in (0, 3, 4), done.error  # the verifier knows playground prompts only
    assert asked == []


def test_S11_no_cell_of_a_table_is_a_formula() -> None:
    text = ["=1+1", "+cmd|'/c calc'!A0", "-2", "@SUM(A1)", "\tx", "fine", "a=b"]
    table = pd.DataFrame({"cell": text, "=heading": range(7), "score": [-0.5] * 7})
    lines = as_csv(table).splitlines()
    assert lines[0] == "cell,'=heading,score"
    cells = [re.sub(r",\d,-0\.5$", "", line) for line in lines[1:]]
    assert not [cell for cell in cells if cell.lstrip('"')[:1] in tuple("=+-@\t")]
    assert lines[-1] == "a=b,6,-0.5"


@pytest.mark.checkout
def test_S12_every_pinned_package_has_hashes_and_the_pins_are_the_same() -> None:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    lock = (ROOT / "constraints.lock").read_text()
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", lock, re.M))
    names = {name.lower().replace("_", "-"): version for name, version in pins}
    assert names.pop("torch")  # its builds have one version and different hashes
    assert names == locked, "run: make lock"
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
