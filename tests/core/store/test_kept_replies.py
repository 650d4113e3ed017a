import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tgdpo_core import KeptReplies
from tgdpo_core.errors import StoreError
from tgdpo_core.secret_values import secret_of

ASKED = {"model": "m", "messages": [{"content": "naïve 👩‍🔬"}], "seed": 0}


def test_a_reply_is_found_by_what_was_asked(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path / "a" / "replies.sqlite")
    assert kept.get(ASKED) is None
    kept.add(ASKED, {"said": "ja"})
    assert kept.get(dict(reversed(ASKED.items()))) == {"said": "ja"}
    assert kept.get({**ASKED, "seed": 1}) is None


def test_a_mere_name_lies_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGDPO_STORE", str(tmp_path / "store"))
    assert KeptReplies("x.sqlite").path == tmp_path / "store" / "x.sqlite"


def test_two_who_use_one_file_see_what_the_other_keeps(tmp_path: Path) -> None:
    one, other = (KeptReplies(tmp_path / "replies.sqlite") for _ in range(2))
    one.add(ASKED, 1)
    assert other.get(ASKED) == 1
    other.add(ASKED, 2)
    assert one.get(ASKED) == 2


PROGRAM = """
import os, signal, sys
from tgdpo_core import KeptReplies
kept = KeptReplies(sys.argv[1])
for i in range(50):
    kept.add({"i": i}, i)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_replies_survive_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROGRAM, str(file)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    kept = KeptReplies(file)
    assert [kept.get({"i": i}) for i in range(50)] == list(range(50))


def test_a_secret_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TEST_KEY", "canary-81b2")
    secret_of("A_TEST_KEY")
    kept = KeptReplies(tmp_path / "replies.sqlite")
    kept.add(ASKED, {"said": "your key is canary-81b2"})
    assert kept.get(ASKED) == {"said": "your key is <A_TEST_KEY>"}


def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    file.write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(StoreError, match=r"replies.sqlite: kept replies cannot be used"):
        KeptReplies(file)
    assert file.read_text().startswith("this is")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="kept replies cannot be used"):
        KeptReplies(tmp_path / "file" / "replies.sqlite")
