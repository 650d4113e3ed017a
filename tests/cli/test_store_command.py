"""``tgdpo store``: what is there, what a key is made of, what is damaged, what may go."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tgdpo_cli.main import cli, run
from tgdpo_core.store.collection import Collection


@pytest.fixture
def root() -> Path:
    """A store with a reference and a reward, three entries each, and an old collection."""
    root = Path(os.environ["TGDPO_STORE"])
    names = [hashlib.blake2b(name.encode(), digest_size=16).digest() for name in "abc"]
    for document in (
        {"kind": "logps", "model": {"files": {"a": "1"}}},
        {"kind": "token_rewards", "plugin": {"name": "induced"}, "model": {"files": {"a": "2"}}},
    ):
        collection = Collection(root, document)
        collection.add(names, [torch.arange(4.0)] * 3)
        collection.close()
    old = root / "0123456789abcdef01234567"
    old.mkdir()
    (old / "key.json").write_text(json.dumps({"format": 1, "kind": "logps"}))
    return root


def tgdpo(*arguments: str) -> tuple[int, str]:
    codes: list[int] = []

    def call() -> Any:
        return cli.main(["store", *arguments], prog_name="tgdpo", standalone_mode=False)

    result = CliRunner().invoke(_command(call, codes))
    return codes[0], result.output


def _command(call: Any, codes: list[int]) -> Any:
    import click

    return click.Command("test", callback=lambda: codes.append(run(call)))


def key_of(root: Path, what: str) -> str:
    listed = json.loads(tgdpo("list", "--json")[1])["collections"]
    return next(i["key"] for i in listed if i["what"] == what and i["readable"])


def test_the_list_names_content_entries_and_other_formats(root: Path) -> None:
    code, output = tgdpo()
    assert code == 0
    assert f"{root}: 3 collections" in output
    line = next(line for line in output.splitlines() if "token_rewards: induced" in line)
    assert line.split()[3] == "3"
    assert "store prune --old-format" in output


def test_a_key_is_explained_and_two_are_compared(root: Path) -> None:
    reference, reward = key_of(root, "logps"), key_of(root, "token_rewards: induced")
    assert json.loads(tgdpo("explain", reference[:6])[1])["model"] == {"files": {"a": "1"}}
    found = json.loads(tgdpo("explain", reference, reward, "--json")[1])["differences"]
    assert {"what": "model.files.a", reference: "1", reward: "2"} in found
    output = tgdpo("explain", reference, reward)[1]
    line = next(line for line in output.splitlines() if line.startswith("model.files.a"))
    assert line.split() == ["model.files.a", "'1'", "'2'"]


def test_an_unknown_key_is_refused_with_a_suggestion(root: Path) -> None:
    code, output = tgdpo("explain", "0123456789abcdef01234568")
    assert code == 2
    assert "Did you mean '0123456789abcdef01234567'?" in output


def test_verify_finds_damage_and_changes_nothing(root: Path) -> None:
    key = key_of(root, "logps")
    assert tgdpo("verify")[0] == 0
    path = root / key / "000000.values"
    data = bytearray(path.read_bytes())
    data[17] ^= 1
    path.write_bytes(data)
    code, output = tgdpo("verify", key)
    assert code == 5
    assert f"{key}: 3 entries, 1 damaged" in output
    assert path.read_bytes() == bytes(data)


def test_prune_lists_first_and_removes_only_when_told(root: Path) -> None:
    assert "nothing was removed" in tgdpo("prune", "--old-format")[1]
    assert len(list(root.glob("*/key.json"))) == 3
    assert tgdpo("prune", "--old-format", "--yes")[0] == 0
    assert not (root / "0123456789abcdef01234567").exists()
    assert len(list(root.glob("*/key.json"))) == 2


def test_prune_keeps_what_runs_have_used(root: Path, tmp_path: Path) -> None:
    key = key_of(root, "logps")
    runs = tmp_path / "runs"
    (runs / "a").mkdir(parents=True)
    record = {"store": {"passes": {"reference_logps": {"key": key}}}}
    (runs / "a" / "run.json").write_text(json.dumps(record))
    tgdpo("prune", "--unused-by", str(runs), "--yes")
    assert [path.parent.name for path in root.glob("*/key.json")] == [key]


def test_prune_by_age(root: Path) -> None:
    key = key_of(root, "logps")
    long_ago = time.time() - 10 * 86_400
    for path in (root / key).iterdir():
        os.utime(path, (long_ago, long_ago))
    tgdpo("prune", "--unwritten-for", "9", "--yes")
    assert not (root / key).exists()
    assert len(list(root.glob("*/key.json"))) == 2


def test_prune_needs_a_condition(root: Path) -> None:
    assert tgdpo("prune", "--yes")[0] == 2


def test_listing_needs_no_torch(root: Path) -> None:
    code = (
        "import sys\nfrom tgdpo_cli.main import cli, run\n"
        "run(lambda: cli.main(['store', 'verify'], standalone_mode=False))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
