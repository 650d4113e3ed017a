"""Rows, pairs and tokens as tables: the same as lists of them, read from disk, made once."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgdpo_core.data import formats, tokenizing
from tgdpo_core.data.columns import RowReading
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.opening import open_rows
from tgdpo_core.data.pair_table import PairRules, PairTable, read_pairs
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.row_table import JsonRows, ListedRows, write_rows
from tgdpo_core.data.sources import load_rows
from tgdpo_core.data.token_table import ListedTokens, TokenTable
from tgdpo_core.data.tokenization import LengthLimits, tokenize_pairs
from tgdpo_core.data.tokenizing import TokenizedTable, tokenize_table
from tgdpo_core.errors import StoreError
from tgdpo_core.models.fingerprints import tokenizer_fingerprint
from tgdpo_core.plugin_api.manager import PluginManager

ROWS: list[Any] = [
    {"prompt": "One?\n", "chosen": "One.", "rejected": "Two.", "score": 0.5, "tags": ["a"]},
    {"prompt": "Two?\n", "chosen": "Two é 🎉.", "rejected": "Two."},
    {"prompt": "Bad?\n", "chosen": 7, "rejected": "Two."},
    {"prompt": "Long?\n", "chosen": "a " * 90, "rejected": "Two."},
    {"prompt": "Two?\n", "chosen": "Two.", "rejected": "Two é 🎉."},
]
CHATS: list[Any] = [
    {
        "prompt": [{"role": "user", "content": f"Question {i}"}],
        "chosen": [{"role": "assistant", "content": f"Answer {i}"}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    for i in range(3)
]
LIMITS = LengthLimits(max_length=64)
NONE = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def written(tmp_path: Path, rows: list[Any]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def opened(path: Path, store: Path, rules: PairRules | None = None) -> PairTable:
    rows = open_rows(str(path), split="train", plugins=NONE, store=store)
    return read_pairs(rows, rules or PairRules(), store)


def tokenized(pairs: PairTable, tokenizer: Any, store: Path) -> TokenizedTable:
    name = tokenizer_fingerprint(tokenizer)
    return tokenize_table(pairs, tokenizer, LIMITS, store=store, tokenizer_name=name)


def same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(x, y)
        for one, other in ((a.chosen, b.chosen), (a.rejected, b.rejected))
        for x, y in ((one.ids, other.ids), (one.offsets, other.offsets))
    ) and (a.pair, a.chosen.text, a.rejected.num_untruncated) == (
        b.pair,
        b.chosen.text,
        b.rejected.num_untruncated,
    )


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows: list[Any] = [
        ("f:1", {"a": [1, 2.5, None, {"é\u2028": True}], "n": 10**30}),
        ("f:2", RowProblem("bad_csv", "two cells")),
        *((f"f:{i}", {"i": i}) for i in range(3, 2500)),
    ]
    write_rows(rows, tmp_path)
    table = JsonRows("f", tmp_path, {})
    assert len(table) == len(rows)
    assert table[0] == rows[0]
    assert (table[1][0], str(table[1][1]), table[1][1].kind) == ("f:2", "two cells", "bad_csv")
    assert table[2498] == ("f:2499", {"i": 2499})
    assert pickle.loads(pickle.dumps(table))[3] == table[3]  # noqa: S301 - of our own making


def test_pairs_of_a_file_are_those_of_its_rows(tmp_path: Path, store: Path) -> None:
    path = written(tmp_path, ROWS)
    report = DataReport(str(path))
    expected = parse_rows(load_rows(str(path), split="train", plugins=NONE), report)
    table = opened(path, store)
    assert table[:] == expected
    assert table.where(2) == "rows.jsonl:4"
    assert table.report.problems == report.problems
    assert table.report.counts == {**report.counts, "swapped_duplicate": 2}


def test_a_file_is_checked_once_and_again_when_it_has_changed(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, ROWS)
    first = opened(path, store)
    checked: list[int] = []
    real = formats._parse

    def counting(row: Any, where: str, reading: RowReading) -> Any:
        checked.append(1)
        return real(row, where, reading)

    monkeypatch.setattr(formats, "_parse", counting)
    again = opened(path, store)
    assert not checked
    assert (again.report, again.content) == (first.report, first.content)
    assert opened(written(tmp_path, ROWS[:2]), store).content != first.content
    assert len(checked) == 2


@pytest.mark.parametrize("rows", [ROWS, CHATS], ids=["text", "chats"])
def test_tokens_of_a_table_are_those_of_its_pairs(
    tmp_path: Path, store: Path, small_tokenizer: Any, rows: list[Any]
) -> None:
    pairs = opened(written(tmp_path, rows), store)
    found = tokenized(pairs, small_tokenizer, store)
    report = pairs.continued_report()
    expected = tokenize_pairs(pairs, small_tokenizer, LIMITS, report)
    assert len(found.table) == len(expected)
    assert all(same(a, b) for a, b in zip(found.table, expected, strict=True))
    assert found.report == report
    assert_equal_columns(found.table, ListedTokens(expected))


def assert_equal_columns(a: TokenTable, b: TokenTable) -> None:
    for name in ("ids_hashes", "text_hashes", "highest_ids"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("prompt", "chosen", "rejected", "responses", "shared", "longest"):
        assert np.array_equal(getattr(a.counts, name), getattr(b.counts, name)), name


def test_pairs_are_tokenized_once_for_a_content(
    tmp_path: Path, store: Path, small_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = opened(written(tmp_path, ROWS), store)
    first = tokenized(pairs, small_tokenizer, store)

    def never(*args: Any) -> Any:
        raise AssertionError("tokenized twice")

    monkeypatch.setattr(tokenizing, "tokenize_batch", never)
    other_place = written(tmp_path / "store", ROWS).rename(tmp_path / "other.jsonl")
    again = tokenized(opened(other_place, store), small_tokenizer, store)
    assert_equal_columns(again.table, first.table)
    assert again.report.problems == [
        problem.replace("rows.jsonl", "other.jsonl") for problem in first.report.problems
    ]
    swapped = opened(written(tmp_path, ROWS), store, PairRules(swap=True))
    with pytest.raises(AssertionError, match="tokenized twice"):
        tokenized(swapped, small_tokenizer, store)


def test_several_processes_give_the_tokens_of_one(
    tmp_path: Path, small_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**ROWS[0], "chosen": f"One {i}."} for i in range(1100)]
    path = written(tmp_path, rows)
    one = tokenized(opened(path, tmp_path / "a"), small_tokenizer, tmp_path / "a")
    monkeypatch.setattr(tokenizing, "_FEW_PAIRS", 10)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    two = tokenized(opened(path, tmp_path / "b"), small_tokenizer, tmp_path / "b")
    assert len(list((tmp_path / "b").rglob("tokens_*.arrow"))) == 2
    assert_equal_columns(one.table, two.table)
    assert same(one.table[1099], two.table[1099])


def test_some_rows_are_a_table_too(tmp_path: Path, store: Path, small_tokenizer: Any) -> None:
    table = tokenized(opened(written(tmp_path, ROWS), store), small_tokenizer, store).table
    some = table.take([3, 0])
    assert [some[0].pair, some[1].pair] == [table[3].pair, table[0].pair]
    assert some.counts.chosen.tolist() == table.counts.chosen[[3, 0]].tolist()


def test_a_damaged_table_is_noticed(tmp_path: Path, store: Path, small_tokenizer: Any) -> None:
    pairs = opened(written(tmp_path, ROWS), store)
    table = tokenized(pairs, small_tokenizer, store).table
    ids = table[0].chosen.ids.astype("<i4").tobytes()
    (path,) = store.rglob("tokens*.arrow")
    data = path.read_bytes()
    path.write_bytes(data.replace(ids, bytes([ids[0] ^ 1]) + ids[1:]))
    damaged = tokenized(pairs, small_tokenizer, store).table
    with pytest.raises(StoreError, match=r"is damaged \(row 0\)"):
        damaged[0]


def test_rows_in_memory_may_hold_what_json_has_not(store: Path, small_tokenizer: Any) -> None:
    marker = object()
    rows = ListedRows("mine", [("mine[0]", {**ROWS[0], "thing": marker})])
    table = tokenized(read_pairs(rows, PairRules(), store), small_tokenizer, store).table
    assert table[0].pair.columns["thing"] is marker
