"""The store: what changes a value changes its key, damage is computed again, writers may meet."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.errors import StoreError
from tgdpo_core.scoring.store import Collection

DOCUMENT = {"kind": "logps", "model": "abc"}


def entry(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def filled(root: Path, names: str = "ab", document: dict[str, Any] | None = None) -> Collection:
    collection = Collection(root, document or DOCUMENT)
    values = [torch.arange(3.0) + i for i in range(len(names))]
    collection.add([entry(name) for name in names], values)
    return collection


def test_values_are_found_again_by_another_process(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Collection(tmp_path, dict(reversed(DOCUMENT.items())))
    assert again[entry("b")].tolist() == [1.0, 2.0, 3.0]
    assert entry("c") not in again


def test_another_document_is_another_key(tmp_path: Path) -> None:
    filled(tmp_path)
    assert entry("a") not in Collection(tmp_path, {**DOCUMENT, "model": "abd"})


def test_values_are_memory_mapped(tmp_path: Path) -> None:
    values = Collection(tmp_path, DOCUMENT)
    filled(tmp_path)
    values.refresh()
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    assert str(tmp_path) in maps.read_text()


def test_a_shard_can_be_read_by_others(tmp_path: Path) -> None:
    filled(tmp_path)
    (shard,) = tmp_path.rglob("*.safetensors")
    assert shard.stat().st_mode & 0o777 == 0o644
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("position", [0.0, 0.5, 0.999])
def test_a_flipped_bit_is_noticed_and_the_shard_dropped(tmp_path: Path, position: float) -> None:
    collection = Collection(tmp_path, DOCUMENT)
    collection.add([entry("a")], [torch.randn(200)])
    del collection
    (shard,) = tmp_path.rglob("*.safetensors")
    data = bytearray(shard.read_bytes())
    data[int(position * (len(data) - 1))] ^= 4
    shard.write_bytes(data)
    assert entry("a") not in Collection(tmp_path, DOCUMENT)
    assert not shard.exists()


def test_a_cut_shard_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    whole = set(tmp_path.rglob("*.safetensors"))
    filled(tmp_path, "b")
    (cut,) = set(tmp_path.rglob("*.safetensors")) - whole
    cut.write_bytes(cut.read_bytes()[:-5])
    again = Collection(tmp_path, DOCUMENT)
    assert (entry("a") in again, entry("b") in again) == (True, False)


WRITER = """
import hashlib, sys, torch
from pathlib import Path
from tgdpo_core.scoring.store import Collection
collection = Collection(Path(sys.argv[1]), {"kind": "logps", "model": "abc"})
for i in range(int(sys.argv[2]), int(sys.argv[2]) + 20):
    name = hashlib.blake2b(str(i).encode(), digest_size=16).digest()
    collection.add([name], [torch.full((4,), float(i))])
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), first])
        for first in ("0", "10")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    collection = Collection(tmp_path, DOCUMENT)
    for i in range(30):
        assert collection[entry(str(i))].tolist() == [float(i)] * 4


def test_a_store_that_cannot_be_written_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="TGDPO_STORE=DIR"):
        Collection(tmp_path / "file", DOCUMENT)
