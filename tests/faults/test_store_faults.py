"""C3, C8, C9, C10: what is taken from a store is what would be computed, or it is computed."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_cli.main import cli, run
from tgdpo_core.store import catalogue, folder
from tgdpo_core.store.collection import Collection

Score = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def score(
    model_folder: Path,
    rows_file: Path,
    capfd: pytest.CaptureFixture[str],
) -> Score:
    """A function: options -> computed and reused of each pass."""

    def call(*options: str, model: Path = model_folder, data: Path = rows_file) -> Any:
        arguments = ["score", "--model", str(model), "--dataset", str(data), "--json"]
        arguments += ["--set", "training.use_cpu=true", *options]
        if "--reward-plugin" not in options:
            arguments += ["--reward-plugin", "random"]
        code = run(lambda: cli.main(arguments, standalone_mode=False))
        captured = capfd.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out)["passes"]

    return call


def changed_model(folder: Path, target: Path) -> Path:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data[0, 0] += 0.5
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return target


def test_C3_what_changes_a_value_is_computed_again_and_nothing_else(
    score: Score, model_folder: Path, tmp_path: Path
) -> None:
    first = score()
    assert {name: counts["computed"] for name, counts in first.items()} == {
        "reference_logps": 12,
        "token_reward:random": 12,
    }
    same: dict[str, list[str]] = {
        "learning rate": ["--set", "training.learning_rate=0.5"],
        "beta": ["--beta", "5"],
        "shaping": ["--shaping-arg", "alpha=2"],
        "output": ["--output-dir", str(tmp_path / "elsewhere")],
        "seed of the run": ["--set", "training.seed=9"],
        "transform": ["--reward-transform", "scale:factor=2"],
    }
    for what, options in same.items():
        found = score(*options)
        assert [counts["computed"] for counts in found.values()] == [0, 0], what
    allowed = ["--set", "data.max_shares.truncated=1", "--set", "data.on_bad_row=skip"]
    other: dict[str, tuple[list[str], set[str]]] = {
        "seed of the reward": (["--reward-arg", "seed=7"], {"token_reward:random"}),
        "length": (["--set", "data.max_length=48", *allowed], set()),
    }
    for what, (options, passes) in other.items():
        found = score(*options)
        computed = {name for name, counts in found.items() if counts["computed"]}
        assert computed == passes or (not passes and computed), what
    model = changed_model(model_folder, tmp_path / "changed")
    assert score(model=model)["reference_logps"]["computed"] == 12
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages }}"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    assert score(model=model)["reference_logps"]["reused"] == 12  # text needs none


def test_C9_rows_are_found_by_content_in_any_order(
    score: Score, small_rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    score()
    rows = [*small_rows[5:], *small_rows[:4], small_rows[7]]  # another order, one gone, one twice
    path = tmp_path / "shuffled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = score("--set", "data.max_shares.duplicates=1", data=path)
    assert {(c["computed"], c["reused"]) for c in found.values()} == {(0, 12)}


def test_C8_a_store_of_another_version_is_listed_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"kind": "logps", "model": "abc"}
    with monkeypatch.context() as earlier:
        earlier.setattr(folder, "FORMAT", 1)
        old = Collection(tmp_path, document)
        old.add([b"x" * 16], [torch.ones(3)])
        old.close()
    new = Collection(tmp_path, document)
    assert b"x" * 16 not in new
    readable = {info.key: info.is_readable for info in catalogue.list_collections(tmp_path)}
    assert readable == {old.key: False, new.key: True}


def test_C10_a_read_only_store_serves_what_it_holds_and_refuses_more(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: the tests may run as root, whom no permission stops."""
    score()
    opened = os.open

    def read_only(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(tmp_path / "store") in str(path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    assert {(c["computed"], c["reused"]) for c in score().values()} == {(0, 12)}
    with pytest.raises(AssertionError, match=r"The store at .*cannot be written"):
        score("--reward-arg", "seed=8")
