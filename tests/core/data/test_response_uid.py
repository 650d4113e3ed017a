"""The name of a response: its content, not its row and not the process."""

import os
import subprocess
import sys

from tgdpo_core.data.pairs import PreferencePair, response_uid

PAIR = PreferencePair("2+2=", "4", "5", "file:1")
CODE = (
    "from tgdpo_core.data.pairs import PreferencePair, response_uid;"
    "message = {'role': 'user', 'content': 'é🎉'};"
    "pair = PreferencePair([message], [message], '5', 'file:1');"
    "print(response_uid(pair, 'chosen'))"
)


def test_a_uid_does_not_depend_on_the_process() -> None:
    uids = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(uids) == 1
    assert len(uids.pop().strip()) == 24


def test_a_uid_does_not_depend_on_the_row_or_other_columns() -> None:
    other = PreferencePair("2+2=", "4", "something else", "elsewhere:9", {"column": 1})
    assert response_uid(PAIR, "chosen") == response_uid(other, "chosen")


def test_a_uid_depends_on_prompt_response_and_side() -> None:
    twin = PreferencePair("2+2=", "4", "4", "file:1")
    uids = {
        response_uid(PAIR, "chosen"),
        response_uid(PAIR, "rejected"),
        response_uid(twin, "rejected"),
        response_uid(PreferencePair("2+3=", "4", "5", "file:1"), "chosen"),
    }
    assert len(uids) == 4
