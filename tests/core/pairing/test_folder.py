"""The folder of a made data set."""

import json
from pathlib import Path

import pytest

from tgdpo_core.data.sources import load_rows
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.generation.answers import Answer, AnsweredPrompt, read_answers
from tgdpo_core.pairing.folder import FileForm, PairsFolder
from tgdpo_core.plugin_api.manager import PluginManager

ROWS = [{"prompt": "p", "chosen": "a", "rejected": "b", "chosen_score": 1.0, "chosen_seed": None}]


def made(path: Path, form: FileForm = "jsonl", **settings: object) -> PairsFolder:
    folder = PairsFolder(path)
    folder.begin(settings, overwrite=False)
    folder.write(ROWS, "card", form, settings)
    return folder


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_the_folder_is_a_data_set_as_it_stands(tmp_path: Path, form: FileForm) -> None:
    folder = made(tmp_path / "d", form)
    folder.write_answers("org/m", [AnsweredPrompt("p", (Answer("a", True, 2, 7),), {})])
    rows = [row for _, row in load_rows(str(folder.path), split="train", plugins=PluginManager())]
    assert [dict(row) for row in rows] == ROWS


def test_answers_are_kept_in_a_form_that_can_be_given_again(tmp_path: Path) -> None:
    item = AnsweredPrompt("p", (Answer("a", True, 2, 7),), {"topic": "tea"})
    PairsFolder(tmp_path / "d").write_answers("org/m", [item])
    assert list(read_answers(tmp_path / "d" / "made" / "answers-org_m.jsonl")) == [item]


def test_another_form_leaves_one_data_file(tmp_path: Path) -> None:
    made(tmp_path / "d")
    folder = PairsFolder(tmp_path / "d")
    folder.begin({"form": "parquet"}, overwrite=True)
    folder.write(ROWS, "card", "parquet", {"form": "parquet"})
    assert sorted(p.name for p in folder.path.iterdir()) == ["README.md", "made", "train.parquet"]


def test_the_same_settings_go_on_and_others_need_overwrite(tmp_path: Path) -> None:
    made(tmp_path / "d", rule="margin", seed=1)
    folder = PairsFolder(tmp_path / "d")
    folder.begin({"rule": "margin", "seed": 1}, overwrite=False)
    with pytest.raises(UsageError, match=r"other settings \(rule, seed\)"):
        folder.begin({"rule": "best-worst", "seed": 2}, overwrite=False)
    folder.begin({"rule": "best-worst", "seed": 2}, overwrite=True)
    assert (tmp_path / "d" / "train.jsonl").exists()  # until there are new pairs


def test_a_folder_that_was_begun_and_not_finished_takes_any_settings(tmp_path: Path) -> None:
    PairsFolder(tmp_path / "d").begin({"seed": 1}, overwrite=False)
    PairsFolder(tmp_path / "d").begin({"seed": 2}, overwrite=False)


@pytest.mark.parametrize("content", ["{}", "[]", '{"made_by": "somebody"}', "nonsense"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "record.json").write_text(content)
    with pytest.raises(UsageError, match="was not made by tgdpo pairs"):
        PairsFolder(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(UsageError, match="was not made by tgdpo pairs"):
        PairsFolder(tmp_path / "f")


def test_columns_that_parquet_cannot_hold_are_named(tmp_path: Path) -> None:
    folder = PairsFolder(tmp_path / "d")
    rows = [{"prompt": "p", "x": 1}, {"prompt": "p", "x": "text"}]
    with pytest.raises(DataError, match="--write jsonl"):
        folder.write(rows, "card", "parquet", {})


def test_the_record_says_what_the_pairs_were_made_with(tmp_path: Path) -> None:
    folder = made(tmp_path / "d", seed=1)
    assert folder.settings() == {"seed": 1}
    record = json.loads((tmp_path / "d" / "made" / "record.json").read_text())
    assert record == {"made_by": "tgdpo pairs", "settings": {"seed": 1}}


def test_the_log_of_a_preparation_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "output.txt").write_text("judge mood: 3 answers")
    assert made(tmp_path / "d").settings() == {}
