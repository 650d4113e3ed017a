"""The store: what changes a value changes its key, damage is computed again, writers may meet."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tgdpo_core.errors import StoreError
from tgdpo_core.store import shards
from tgdpo_core.store.collection import Collection

DOCUMENT = {"kind": "logps", "model": "abc"}


def entry(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def filled(root: Path, names: str = "ab", document: dict[str, Any] | None = None) -> Collection:
    collection = Collection(root, document or DOCUMENT)
    values = [torch.arange(3.0) + i for i in range(len(names))]
    collection.add([entry(name) for name in names], values)
    collection.close()
    return collection


def whole(root: Path, names: str, lengths: list[int] | None = None) -> list[bool]:
    collection = Collection(root, DOCUMENT)
    found = collection.verified([entry(n) for n in names], lengths or [3] * len(names))
    return [bool(is_stored) for is_stored in found]


def files(root: Path, kind: str) -> list[Path]:
    return sorted(path for path in root.rglob(f"*.{kind}") if "set-aside" not in path.parts)


def test_values_are_found_again_by_another_process(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Collection(tmp_path, dict(reversed(DOCUMENT.items())))
    assert again[entry("b")].tolist() == [1.0, 2.0, 3.0]
    assert entry("c") not in again


def test_another_document_is_another_key(tmp_path: Path) -> None:
    filled(tmp_path)
    assert entry("a") not in Collection(tmp_path, {**DOCUMENT, "model": "abd"})


def test_values_are_read_by_row_number(tmp_path: Path) -> None:
    collection = filled(tmp_path, "abcd")
    located = collection.locate([entry("d"), entry("x"), entry("a")])
    assert located.are_stored.tolist() == [True, False, True]
    assert located[0].tolist() == [3.0, 4.0, 5.0]
    with pytest.raises(StoreError, match="lacks the values of row 1"):
        located[1]


def test_the_last_entry_of_a_name_counts(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    collection = Collection(tmp_path, DOCUMENT)
    collection.add([entry("a")], [torch.tensor([7.0])])
    collection.close()
    assert Collection(tmp_path, DOCUMENT)[entry("a")].tolist() == [7.0]


def test_names_that_share_their_first_half_are_told_apart(tmp_path: Path) -> None:
    names = [b"12345678" + bytes([i]) * 8 for i in range(5)]
    collection = Collection(tmp_path, DOCUMENT)
    collection.add(names[:4], [torch.tensor([float(i)]) for i in range(4)])
    collection.close()
    located = Collection(tmp_path, DOCUMENT).locate(names)
    assert located.are_stored.tolist() == [True] * 4 + [False]
    assert [located[i].item() for i in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_a_shard_can_be_read_by_others(tmp_path: Path) -> None:
    filled(tmp_path)
    modes = [
        path.stat().st_mode & 0o777
        for kind in ("values", "index")
        for path in files(tmp_path, kind)
    ]
    assert modes == [0o644, 0o644]
    assert not files(tmp_path, "part")


def test_a_closed_shard_grows_and_an_open_one_is_left_to_its_writer(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    filled(tmp_path, "b")
    assert len(files(tmp_path, "values")) == 1
    one, other = Collection(tmp_path, DOCUMENT), Collection(tmp_path, DOCUMENT)
    one.add([entry("c")], [torch.ones(1)])
    other.add([entry("d")], [torch.ones(2)])
    assert len(files(tmp_path, "values")) == 2
    assert one.refresh()
    assert [len(one[entry(n)]) for n in "abcd"] == [3, 3, 1, 2]


def test_a_full_shard_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_BYTES", 40)
    for name in "abcdef":
        filled(tmp_path, name)
    assert len(files(tmp_path, "values")) == 2
    assert whole(tmp_path, "abcdef") == [True] * 6


@pytest.mark.parametrize("kind", ["values", "index"])
@pytest.mark.parametrize("position", [0.0, 0.3, 0.5, 0.7, 0.999])
def test_a_flipped_bit_is_noticed_and_what_is_whole_is_kept(
    tmp_path: Path, position: float, kind: str
) -> None:
    filled(tmp_path, "abcde")
    (path,) = files(tmp_path, kind)
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 4
    path.write_bytes(data)
    are_whole = whole(tmp_path, "abcde")
    is_header = kind == "index" and position == 0.0
    assert sum(are_whole) == (0 if is_header else 4)
    collection = Collection(tmp_path, DOCUMENT)
    for i, (name, is_whole) in enumerate(zip("abcde", are_whole, strict=True)):
        if is_whole:
            assert collection[entry(name)].tolist() == [i, i + 1.0, i + 2.0]


def test_a_damaged_shard_is_set_aside_and_said_not_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    (path,) = files(tmp_path, "values")
    before = path.read_bytes()
    path.write_bytes(b"\xff" + before[1:])
    assert whole(tmp_path, "ab") == [False, True]
    (kept,) = tmp_path.rglob("set-aside/*.values")
    assert kept.read_bytes() == b"\xff" + before[1:]
    assert "1 of its entries are whole and kept" in caplog.text
    assert whole(tmp_path, "ab") == [False, True]


@pytest.mark.parametrize("kind", ["values", "index"])
@pytest.mark.parametrize("lost", [1, 5, 13])
def test_a_cut_file_loses_its_last_entries_only(tmp_path: Path, kind: str, lost: int) -> None:
    filled(tmp_path, "abc")
    (path,) = files(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-lost])
    found = whole(tmp_path, "abc")
    assert found == (
        [True, False, False] if (kind, lost) == ("values", 13) else [True, True, False]
    )
    filled(tmp_path, "c")
    assert whole(tmp_path, "ac") == [True, True]


def test_values_of_another_key_or_another_name_do_not_pass(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    foreign = filled(tmp_path / "other", "a", {"kind": "logps", "model": "xyz"})
    (mine,) = (path.parent for path in files(tmp_path, "index") if "other" not in path.parts)
    for path in foreign.folder.glob("000000.*"):
        (mine / path.name).write_bytes(path.read_bytes())
    assert whole(tmp_path, "a") == [False]


def test_a_wrong_length_with_a_right_checksum_is_computed_again(tmp_path: Path) -> None:
    filled(tmp_path, "ab")
    assert whole(tmp_path, "ab", [3, 4]) == [True, False]
    assert whole(tmp_path, "ab") == [True, False]


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE])
def test_an_error_of_the_disk_stops_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    filled(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    real = Path.open

    def failing(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".index":
            raise OSError(code, os.strerror(code))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(StoreError, match="Nothing was changed"):
            Collection(tmp_path, DOCUMENT)
    assert {path: path.read_bytes() for path in before} == before
    assert whole(tmp_path, "ab") == [True, True]


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = filled(tmp_path, "a")

    def full(*args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreError, match="What was stored before is kept"):
            collection.add([entry("b")], [torch.ones(3)])
    collection.add([entry("b")], [torch.ones(3)])
    collection.close()
    assert whole(tmp_path, "ab") == [True, True]


WRITER = """
import hashlib, sys, torch
from pathlib import Path
from tgdpo_core.store.collection import Collection
collection = Collection(Path(sys.argv[1]), {"kind": "logps", "model": "abc"})
for i in range(int(sys.argv[2]), int(sys.argv[2]) + 20):
    name = hashlib.blake2b(str(i).encode(), digest_size=16).digest()
    collection.add([name], [torch.full((4,), float(i))])
    print(i, flush=True)
sys.stdin.read()
"""


def writer(root: Path, first: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), first],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    writers = [writer(tmp_path, first) for first in ("0", "10")]
    for process in writers:
        process.communicate("")
    assert [process.returncode for process in writers] == [0, 0]
    collection = Collection(tmp_path, DOCUMENT)
    for i in range(30):
        assert collection[entry(str(i))].tolist() == [float(i)] * 4


def test_a_killed_process_loses_nothing_that_it_had_added(tmp_path: Path) -> None:
    process = writer(tmp_path, "0")
    assert process.stdout
    added = [process.stdout.readline() for _ in range(7)]
    process.kill()
    process.communicate()
    assert len(added) == 7
    assert all(whole(tmp_path, "0123456", [4] * 7))
    filled(tmp_path, "z")
    assert whole(tmp_path, "z") == [True]


def test_many_small_additions_are_opened_at_once(tmp_path: Path) -> None:
    collection = Collection(tmp_path, DOCUMENT)
    names = [entry(str(i)) for i in range(70_000)]
    for name in names:
        collection.add([name], [torch.ones(2)])
    collection.close()
    again = Collection(tmp_path, DOCUMENT)
    assert again.locate(names).are_stored.all()
    assert len(again) == len(names)
    assert len(files(tmp_path, "index")) == 1  # one file, not one an entry


def test_a_store_that_cannot_be_written_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="TGDPO_STORE=DIR"):
        Collection(tmp_path / "file", DOCUMENT)


def test_values_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=1000).astype("float32"))
    collection = Collection(tmp_path, DOCUMENT)
    collection.add([entry("a")], [values])
    assert torch.equal(collection[entry("a")], values)
