"""Filling a collection: work is shared, kept at once, and done once."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tgdpo_core.data.pairs import PreferencePair, TokenizedPair, TokenizedResponse
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.errors import StoreError
from tgdpo_core.scoring import filling
from tgdpo_core.scoring.filling import Filled, Pass, fill
from tgdpo_core.store.collection import Collection

DOCUMENT = {"kind": "logps", "model": "abc"}


def response(ids: Sequence[int]) -> TokenizedResponse:
    offsets = np.array([[i, i + 1] for i in range(len(ids))])
    return TokenizedResponse(np.array(ids), offsets, "x" * len(ids), len(ids))


def pair(number: int, *, length: int = 3) -> TokenizedPair:
    text = PreferencePair("q", f"a{number}", f"b{number}", where=f"row {number}")
    chosen, rejected = response([number + 1] * length), response([number + 2] * length)
    return TokenizedPair(text, np.array([1, 2]), chosen, rejected)


TABLE = ListedTokens([pair(i, length=3 + i % 40) for i in range(200)])


def values_of(rows: Sequence[int]) -> list[torch.Tensor]:
    sizes = TABLE.counts.responses
    return [torch.full((int(sizes[row]),), float(row)) for row in rows]


def filled(root: Path, compute: Callable[[Sequence[int]], Any] = values_of) -> Filled:
    return fill(task_on(TABLE, root, compute))


def task_on(table: TokenTable, root: Path, compute: Callable[[Sequence[int]], Any]) -> Pass:
    return Pass(
        number=0,
        name="test",
        label="test",
        collection=Collection(root, DOCUMENT),
        table=table,
        entries=table.ids_hashes,
        compute=compute,
        close=lambda: None,
    )


def test_everything_is_computed_once_and_found_by_row(tmp_path: Path) -> None:
    first = filled(tmp_path)
    assert (first.computed, first.reused) == (200, 0)
    assert [first.values[row][0].item() for row in (0, 7, 199)] == [0.0, 7.0, 199.0]
    second = filled(tmp_path)
    assert (second.computed, second.reused) == (0, 200)


def test_long_rows_come_first_and_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_TOKENS_PER_BATCH", 300)
    batches: list[list[int]] = []

    def compute(rows: Sequence[int]) -> list[torch.Tensor]:
        batches.append(list(rows))
        return values_of(rows)

    filled(tmp_path, compute)
    longest = TABLE.counts.longest
    order = [int(longest[row]) for batch in batches for row in batch]
    assert order == sorted(order, reverse=True)
    assert max(2 * longest[batch[0]] * len(batch) for batch in batches) <= 300


def test_values_that_other_processes_put_elsewhere_are_an_error(tmp_path: Path) -> None:
    def elsewhere(task: Pass, batches: Sequence[Any]) -> Iterator[int]:
        for batch in batches:
            yield len(batch)

    task = task_on(TABLE, tmp_path, values_of)
    with pytest.raises(StoreError, match=r"200 of 200 pairs .* not in .*Set TGDPO_STORE"):
        fill(task, elsewhere=elsewhere)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_was_computed_is_kept_however_the_pass_ends(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_TOKENS_PER_BATCH", 300)
    done: list[int] = []

    def compute(rows: Sequence[int]) -> list[torch.Tensor]:
        if done:
            raise error
        done.extend(rows)
        return values_of(rows)

    with pytest.raises(error):
        filled(tmp_path, compute)
    assert filled(tmp_path).reused == len(done) > 0


def test_pairs_that_are_equal_are_computed_once(tmp_path: Path) -> None:
    table = ListedTokens([pair(1), pair(1), pair(2)])
    asked: list[int] = []

    def compute(rows: Sequence[int]) -> list[torch.Tensor]:
        asked.extend(rows)
        return [torch.ones(6) for _ in rows]

    found = fill(task_on(table, tmp_path, compute))
    assert len(asked) == 2
    assert [len(found.values[row]) for row in range(3)] == [6, 6, 6]


COMMAND = """
import sys, time
from pathlib import Path
from tests.core.scoring.test_filling import filled, filling, values_of
filling._TOKENS_PER_BATCH = 200
def compute(rows):
    print(len(rows), flush=True)
    time.sleep(0.05)
    return values_of(rows)
print("ready", flush=True)
sys.stdin.readline()
filled(Path(sys.argv[1]), compute)
"""


def command(root: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_commands_share_the_work(tmp_path: Path) -> None:
    processes = [command(tmp_path), command(tmp_path)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [sum(map(int, process.communicate()[0].split())) for process in processes]
    assert min(counts) > 20
    assert 200 <= sum(counts) < 260  # a batch may be under way in both
    assert filled(tmp_path).reused == 200


def test_a_killed_command_loses_the_batch_that_it_was_in(tmp_path: Path) -> None:
    process = command(tmp_path)
    assert process.stdin
    assert process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    sizes = [int(process.stdout.readline()) for _ in range(5)]
    process.kill()
    process.communicate()
    assert filled(tmp_path).reused >= sum(sizes[:-1])
