"""Files of every kind: compressed, several, wrapped, damaged; and the splits of their rows."""

import bz2
import gzip
import json
import lzma
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport, RowProblem
from tgdpo_core.data.sources import default_split, load_rows
from tgdpo_core.errors import DataError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe.loading import resolve_recipe

ROWS = [
    {"prompt": "a=", "chosen": "1", "rejected": "2"},
    {"prompt": "é🎉=", "chosen": "long\nanswer", "rejected": "4"},
]
MANY = [{"prompt": str(i * 7919 % 10007), "chosen": str(i), "rejected": "no"} for i in range(9000)]


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    return PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def load(path: Path, plugins: PluginManager, split: str = "train") -> list[tuple[str, Any]]:
    return [
        (where, dict(row) if isinstance(row, dict) else row)
        for where, row in load_rows(str(path), split=split, plugins=plugins)
    ]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.csv", "pairs.tsv"])
def test_compressed_files_are_read(
    name: str, suffix: str, tmp_path: Path, plugins: PluginManager
) -> None:
    texts = {
        "pairs.jsonl": jsonl(ROWS),
        "pairs.json": json.dumps(ROWS),
        "pairs.csv": 'prompt,chosen,rejected\na=,1,2\né🎉=,"long\nanswer",4\n',
        "pairs.tsv": 'prompt\tchosen\trejected\na=\t1\t2\né🎉=\t"long\nanswer"\t4\n',
    }
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    path = tmp_path / (name + suffix)
    path.write_bytes(compress(texts[name].encode()))
    assert [row for _, row in load(path, plugins)] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("pairs.jsonl.gz", gzip.compress(jsonl(ROWS).encode(), mtime=0)[:-20], "cannot be read"),
        ("pairs.jsonl.gz", b"plain text", "cannot be read"),
        (
            "pairs.jsonl.gz",
            gzip.compress(jsonl(MANY).encode(), mtime=0)[:-9000],
            "cannot be read, nor what follows: Compressed file ended",
        ),
        (
            "pairs.jsonl",
            gzip.compress(b"{}", mtime=0),
            "compressed with gzip. Name it pairs.jsonl.gz",
        ),
        ("pairs.jsonl", jsonl(ROWS).encode("utf-16"), "is UTF-16"),
        ("pairs.csv", b"prompt,chosen\na,caf\xe9\n", "pairs.csv:2: cannot be read: not UTF-8"),
        ("pairs.jsonl", b'{}\n{"a": "caf\xe9"}\n', "pairs.jsonl:2: cannot be read: not UTF-8"),
        ("pairs.jsonl", b'{}\n{"a": ' + b"9" * 5000 + b"}\n", "pairs.jsonl:2: JSON that cannot"),
        ("pairs.jsonl", b'{}\n{"a": ' + b"[" * 99999 + b"}\n", "pairs.jsonl:2: JSON that cannot"),
        ("pairs.csv", b'prompt,chosen\na,"never closed\nb,c\n', "not valid CSV"),
        ("pairs.csv", b"prompt,chosen,prompt\na,b,c\n", "'prompt' stands twice"),
        ("pairs.json", b'{"a": [{"x": 1}], "b": [{"x": 2}]}', "2 lists of rows"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(
    name: str, content: bytes, reason: str, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(reason)):
        load(path, plugins)


@pytest.mark.parametrize(
    ("name", "content", "where", "problem"),
    [
        ("a.jsonl", '{"a": 1, "a": 2}', "a.jsonl:1", "the key 'a' stands twice"),
        ("a.jsonl", '{"p": [{"role": "u", "role": "v"}]}', "a.jsonl:1", "the key 'role' stands"),
        ("a.json", '[{"a": 1, "a": 2}]', "a.json row 1", "the key 'a' stands twice"),
        ("a.csv", "x,y\n1,2,3\n", "a.csv:2", "3 cells under 2 columns"),
        ("a.csv", "x,y\n1\n", "a.csv:2", "1 cells under 2 columns"),
    ],
)
def test_a_row_that_says_two_things_at_once_is_a_problem_of_that_row(
    name: str, content: str, where: str, problem: str, tmp_path: Path, plugins: PluginManager
) -> None:
    (tmp_path / name).write_text(content)
    ((place, row),) = load_rows(str(tmp_path / name), split="train", plugins=plugins)
    assert place == where
    assert isinstance(row, RowProblem)
    assert problem in str(row)
    report = DataReport(name)
    assert parse_rows([(place, row)], report) == []
    assert report.problems[0].startswith(f"{where}: ")


@pytest.mark.parametrize("indent", [None, 1])
def test_rows_inside_an_object_are_read(
    indent: int | None, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps({"version": "1", "data": ROWS}, indent=indent))
    expected = [(f"pairs.json data row {i}", row) for i, row in enumerate(ROWS, 1)]
    assert load(path, plugins) == expected


def test_one_row_over_several_lines_is_a_row(tmp_path: Path, plugins: PluginManager) -> None:
    row = {"messages": [{"role": "user", "content": "q"}], "chosen": "a", "rejected": "b"}
    (tmp_path / "pairs.json").write_text(json.dumps(row, indent=1))
    assert load(tmp_path / "pairs.json", plugins) == [("pairs.json:1", row)]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with two files of one row each."""
    for name, row in zip(("a.jsonl", "b.jsonl"), ROWS, strict=True):
        (tmp_path / name).write_text(jsonl([row]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("named", ["{0}", "{0}/*.jsonl", "{0}/a.jsonl, {0}/b.jsonl"])
def test_several_files_are_one_data_set(named: str, parts: Path, plugins: PluginManager) -> None:
    rows = list(load_rows(named.format(parts), split="train", plugins=plugins))
    assert rows == [("a.jsonl:1", ROWS[0]), ("b.jsonl:1", ROWS[1])]


def test_files_of_one_name_are_told_apart(tmp_path: Path, plugins: PluginManager) -> None:
    for folder, row in zip(("x", "y"), ROWS, strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text(jsonl([row]), encoding="utf-8")
    rows = load_rows(f"{tmp_path}/*/a.jsonl", split="train", plugins=plugins)
    assert [where for where, _ in rows] == ["x/a.jsonl:1", "y/a.jsonl:1"]


def test_a_recipe_names_files_in_a_list(parts: Path) -> None:
    settings = {"data.path": [f"{parts}/a.jsonl", f"{parts}/b.jsonl"], "output_dir": "x"}
    recipe = resolve_recipe({}, settings=settings)
    assert recipe.data.path == f"{parts}/a.jsonl,{parts}/b.jsonl"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("{0}/*.csv", "no file fits this pattern"),
        ("{0}/a.jsonl,{0}/c.jsonl", r"c\.jsonl: no such file .*Available: a\.jsonl"),
        ("{0}/a.jsonl,{0}/*.jsonl", "is named twice"),
    ],
)
def test_a_file_of_several_that_is_not_there_is_named(
    named: str, message: str, parts: Path, plugins: PluginManager
) -> None:
    with pytest.raises(DataError, match=message):
        list(load_rows(named.format(parts), split="train", plugins=plugins))


def test_a_folder_gives_the_files_of_the_split(tmp_path: Path, plugins: PluginManager) -> None:
    for name, row in zip(("pairs-train.jsonl", "pairs-test.jsonl"), ROWS, strict=True):
        (tmp_path / name).write_text(jsonl([row]), encoding="utf-8")
    assert load(tmp_path, plugins) == [("pairs-train.jsonl:1", ROWS[0])]
    assert load(tmp_path, plugins, "test") == [("pairs-test.jsonl:1", ROWS[1])]
    with pytest.raises(DataError, match=r"no split 'dev'.*Available: test, train"):
        load(tmp_path, plugins, "dev")


@pytest.mark.parametrize(
    ("more", "message"),
    [("c.csv", "files of several types"), ("c-test.jsonl", "some names say a split and some do")],
)
def test_a_folder_whose_files_may_not_belong_together_is_refused(
    more: str, message: str, parts: Path, plugins: PluginManager
) -> None:
    (parts / more).write_text("")
    with pytest.raises(DataError, match=message):
        load(parts, plugins)


# -- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train[:1]", [0]),
        ("train[1:]", [1]),
        ("train[-1:]", [1]),
        ("train[:50%]", [0]),
        ("train[1:]+train[:1]", [1, 0]),
        ("train[:100]", [0, 1]),
    ],
)
def test_slices_of_a_file_are_read(
    split: str, rows: list[int], tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(ROWS), encoding="utf-8")
    assert load(path, plugins, split) == [(f"pairs.jsonl:{i + 1}", ROWS[i]) for i in rows]


@pytest.mark.parametrize("split", ["test", "nonsense", "test[:1]", "train+test", "train[1"])
def test_a_split_that_a_file_has_not_is_refused(
    split: str, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(ROWS), encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.split"):
        load(path, plugins, split)


def test_the_default_split_of_what_has_no_splits_is_all_of_it(
    parts: Path, plugins: PluginManager
) -> None:
    assert default_split(str(parts / "a.jsonl"), plugins, "test") == "train"
    assert default_split(str(parts), plugins, "test") == "train"
    assert default_split("playground", plugins, "test") == "test"
    (parts / "a.jsonl").rename(parts / "a-test.jsonl")
    assert default_split(str(parts), plugins, "test") == "test"


def test_slices_of_a_registered_data_set_are_read(plugins: PluginManager) -> None:
    rows = list(load_rows("playground", split="test[:3]", plugins=plugins))
    assert [where for where, _ in rows] == [f"playground[test] row {i}" for i in (1, 2, 3)]


@pytest.mark.parametrize("setting", ["name", "revision"])
def test_settings_of_the_hub_are_refused_elsewhere(
    setting: str, tmp_path: Path, plugins: PluginManager
) -> None:
    (tmp_path / "pairs.jsonl").write_text(jsonl(ROWS), encoding="utf-8")
    with pytest.raises(DataError, match=f"data.{setting}: only for data sets of the Hub"):
        list(
            load_rows(
                str(tmp_path / "pairs.jsonl"), split="train", plugins=plugins, **{setting: "x"}
            )
        )


def test_settings_of_the_hub_reach_the_hub(
    plugins: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def fake(path: str, **given: Any) -> Any:
        assert (path, given) == ("who/what", {"name": "n", "revision": "r", "split": "train[:1]"})
        return datasets.Dataset.from_list(ROWS[:1])

    monkeypatch.setattr(datasets, "load_dataset", fake)
    rows = load_rows("who/what", split="train[:1]", plugins=plugins, name="n", revision="r")
    assert [row for _, row in rows] == ROWS[:1]


def test_json_lines_are_read_as_they_are_needed(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(ROWS) * 3 + "not JSON", encoding="utf-8")
    rows = load_rows(str(path), split="train", plugins=plugins)
    assert len(list(islice(rows, 6))) == 6


def test_a_compressed_file_that_ends_early_is_named_with_the_line(
    tmp_path: Path, plugins: PluginManager
) -> None:
    whole = gzip.compress(jsonl(MANY).encode(), mtime=0)
    (tmp_path / "pairs.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as raised:
        load(tmp_path / "pairs.jsonl.gz", plugins)
    line = int(re.search(r"pairs\.jsonl\.gz:(\d+): cannot", str(raised.value))[1])
    assert len(MANY) / 3 < line < len(MANY)


@pytest.mark.parametrize("ending", [".arrow", ".feather"])
@pytest.mark.parametrize("indexed", [True, False])
def test_arrow_files_are_read_in_both_forms(
    ending: str, indexed: bool, tmp_path: Path, plugins: PluginManager
) -> None:
    import pyarrow as pa

    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rows = [{"chosen": messages, "rejected": messages[:1]}, *({"chosen": messages},) * 2]
    table = pa.Table.from_pylist(rows)
    path = tmp_path / f"pairs{ending}"
    make = pa.ipc.new_file if indexed else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, make(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    found = load(path, plugins)
    assert [where for where, _ in found] == [f"{path.name} row {i}" for i in (1, 2, 3)]
    assert found[0][1] == rows[0]


def test_nulls_that_arrow_adds_to_calls_are_left_out(
    tmp_path: Path, plugins: PluginManager
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    calls = [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {"y": 2}}]
    rows = [
        {
            "chosen": [{"role": "assistant", "content": "", "tool_calls": [call]}],
            "own": [{"z": None}],
        }
        for call in calls
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    assert [row for _, row in load(tmp_path / "pairs.parquet", plugins)] == rows
