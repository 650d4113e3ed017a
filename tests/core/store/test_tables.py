"""Tables of the store: made once, whole or not at all, by one process while others wait."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tgdpo_core.errors import StoreError
from tgdpo_core.store.tables import cached_table


def make(folder: Path) -> None:
    (folder / "x").write_text("made")


def test_a_table_is_made_once_for_a_document(tmp_path: Path) -> None:
    first = cached_table(tmp_path, "rows", {"a": 1}, make)
    assert (first / "x").read_text() == "made"
    assert json.loads((first / "document.json").read_text()) == {"a": 1}

    def never(folder: Path) -> None:
        raise AssertionError("made twice")

    assert cached_table(tmp_path, "rows", {"a": 1}, never) == first
    assert cached_table(tmp_path, "rows", {"a": 2}, make) != first


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        make(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_table(tmp_path, "rows", {}, fail)
    assert not [path for path in (tmp_path / "tables" / "rows").iterdir() if path.is_dir()]
    assert (cached_table(tmp_path, "rows", {}, make) / "x").exists()


def test_a_full_disk_says_where_and_what_to_do(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"No space left on device.*TGDPO_STORE=DIR"):
        cached_table(tmp_path, "rows", {}, full)


SLOW = """
import sys, time
from pathlib import Path
from tgdpo_core.store.tables import cached_table
def make(folder):
    print("making", flush=True)
    time.sleep(1)
    (folder / "x").write_text(sys.argv[2])
print((cached_table(Path(sys.argv[1]), "rows", {}, make) / "x").read_text())
"""


def test_a_second_process_waits_and_reads_what_the_first_has_made(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    first = subprocess.Popen([*command, "first"], stdout=subprocess.PIPE, text=True)
    assert first.stdout
    assert first.stdout.readline() == "making\n"
    second = subprocess.run([*command, "second"], capture_output=True, text=True, check=True)
    assert second.stdout == "first\n"
    assert first.communicate()[0] == "first\n"
