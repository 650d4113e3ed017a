"""Where rows come from: files of every kind, folders, registered names; and what can go wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import DataError, PluginError
from tgdpo_core.plugin_api.manager import PluginManager

ROWS = [
    {"prompt": "a=", "chosen": "1", "rejected": "2"},
    {"prompt": "é🎉=", "chosen": "long\nanswer", "rejected": "4"},
]


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


@pytest.mark.parametrize(
    "text",
    [
        jsonl(ROWS),
        jsonl(ROWS).replace("\n", "\r\n"),
        "\ufeff" + jsonl(ROWS),
        jsonl(ROWS).replace("\n", "\n\n"),
        jsonl(ROWS).rstrip("\n"),
    ],
    ids=["plain", "CRLF", "BOM", "empty lines", "no last newline"],
)
def test_json_lines_are_read(text: str, tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(text.encode())
    assert [row for _, row in load(path, plugins)] == ROWS


@pytest.mark.parametrize("name", ["pairs.json", "pairs.jsonl"])
def test_a_json_array_is_read_whatever_the_ending_says(
    name: str, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(ROWS, indent=1))
    assert load(path, plugins) == [(f"{name} row {i}", row) for i, row in enumerate(ROWS, 1)]


def test_a_line_separator_inside_a_text_does_not_end_the_row(
    tmp_path: Path, plugins: PluginManager
) -> None:
    rows = [{**ROWS[0], "chosen": "one\u2028two\x85three"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(rows), encoding="utf-8")
    assert [row for _, row in load(path, plugins)] == rows


def test_a_row_is_named_by_file_and_line(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n" + jsonl(ROWS))
    assert [where for where, _ in load(path, plugins)] == ["pairs.jsonl:2", "pairs.jsonl:3"]


def test_csv_is_read(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('prompt,chosen,rejected\na=,1,2\né🎉=,"long\nanswer",4\n', encoding="utf-8")
    assert [row for _, row in load(path, plugins)] == ROWS


def test_csv_has_no_limit_on_the_length_of_a_field(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"prompt,chosen,rejected\na=,{'x' * 200_000},2\n")
    assert len(load(path, plugins)[0][1]["chosen"]) == 200_000


def test_parquet_is_read(tmp_path: Path, plugins: PluginManager) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert [row for _, row in load(path, plugins)] == ROWS


def test_a_folder_saved_by_datasets_is_read(tmp_path: Path, plugins: PluginManager) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    assert [row for _, row in load(tmp_path / "saved", plugins)] == ROWS


def test_a_wrong_split_of_a_saved_folder_lists_the_splits(
    tmp_path: Path, plugins: PluginManager
) -> None:
    import datasets

    splits = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS)}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    assert len(load(tmp_path / "saved", plugins, split="test")) == 2
    with pytest.raises(DataError, match=r"no split 'tests'\. Did you mean 'test'"):
        load(tmp_path / "saved", plugins, split="tests")


def test_a_registered_name_is_read(plugins: PluginManager) -> None:
    rows = list(load_rows("playground", split="test", plugins=plugins))
    assert len(rows) == 300
    assert rows[0][0] == "playground[test] row 1"


def test_a_wrong_split_of_a_registered_name_is_a_data_error(plugins: PluginManager) -> None:
    with pytest.raises(DataError, match=r"Data set 'playground'.*no split 'dev'.*train, test"):
        list(load_rows("playground", split="dev", plugins=plugins))


def test_bad_json_is_named_by_its_line(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(ROWS) + '{"prompt": "a", \n')
    with pytest.raises(
        DataError, match=r"pairs\.jsonl:3: not valid JSON: .*one JSON object a line"
    ):
        load(path, plugins)


@pytest.mark.parametrize("line", ["3", "null", '"text"', '["a"]'])
def test_a_line_that_is_no_object_is_refused(
    line: str, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(ROWS) + line)
    with pytest.raises(DataError, match=r"pairs\.jsonl:3: expected a JSON object"):
        load(path, plugins)


def test_a_missing_file_suggests_its_neighbours(tmp_path: Path, plugins: PluginManager) -> None:
    (tmp_path / "pairs.jsonl").write_text(jsonl(ROWS))
    with pytest.raises(DataError, match=r"no such file.*Did you mean 'pairs\.jsonl'"):
        load(tmp_path / "pears.jsonl", plugins)


def test_a_missing_folder_is_said(tmp_path: Path, plugins: PluginManager) -> None:
    with pytest.raises(DataError, match="does not exist either"):
        load(tmp_path / "nowhere" / "pairs.jsonl", plugins)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("pairs.txt", b"hello", "unknown file type '.txt'"),
        (
            "pairs.jsonl",
            b'{"prompt": "\xff"}',
            "pairs.jsonl:1: cannot be read: not UTF-8: byte 0xff after 12 bytes",
        ),
        ("pairs.parquet", b"nope", "cannot be read"),
        ("pairs.jsonl", b"", None),
    ],
    ids=["type", "encoding", "damaged Parquet", "empty"],
)
def test_a_file_that_cannot_be_read_is_a_data_error(
    name: str, content: bytes, reason: str | None, tmp_path: Path, plugins: PluginManager
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if reason is None:
        assert load(path, plugins) == []
        return
    with pytest.raises(DataError) as caught:
        load(path, plugins)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_a_folder_that_holds_no_data_set_is_a_data_error(
    tmp_path: Path, plugins: PluginManager
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="not a folder saved by datasets"):
        load(tmp_path / "empty", plugins)


@pytest.fixture
def faulty(tmp_path: Path) -> PluginManager:
    """A manager with a data set that raises."""
    path = tmp_path / "faulty.py"
    path.write_text(
        "from tgdpo_core import NamedDataset, hookimpl\n"
        "class Raises(NamedDataset):\n"
        "    def rows(self, split):\n"
        "        raise KeyError('lost')\n"
        "@hookimpl\n"
        "def register_datasets(register):\n"
        "    register('raises', Raises)\n"
    )
    return PluginManager(files=[path], env={"TGDPO_LOAD_PLUGINS": ""})


def test_a_registered_data_set_that_raises_is_a_plugin_error(faulty: PluginManager) -> None:
    with pytest.raises(PluginError, match=r"dataset 'raises' .*faulty\.py.*KeyError: 'lost'"):
        list(load_rows("raises", split="train", plugins=faulty))
