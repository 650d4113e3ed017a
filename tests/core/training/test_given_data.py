"""Data given in Python is read, checked and reported as the data of a recipe is."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import DataError
from tgdpo_core.training.given_data import GivenData, given_data

MakeTrainer = Callable[..., TGDPOTrainer]
Rows = list[dict[str, Any]]
Read = Callable[..., GivenData]


@pytest.fixture
def read(tmp_path: Path, small_tokenizer: Any) -> Read:
    """A function: rows, evaluation rows and settings -> what the trainer gets."""

    def call(train: Any, evaluation: Any = None, **settings: Any) -> GivenData:
        args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, **settings)
        return given_data(train, evaluation, small_tokenizer, args)

    return call


def ids(data: GivenData) -> list[list[int]]:
    return [[*pair.prompt_ids.tolist(), *pair.chosen.ids.tolist()] for pair in data.train]


def test_columns_are_mapped_as_in_a_recipe(read: Read, small_rows: Rows) -> None:
    names = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    renamed = [{names[name]: row[name] for name in names} for row in small_rows]
    assert ids(read(renamed, columns=names)) == ids(read(small_rows))


def test_a_column_may_be_left_alone(read: Read, small_rows: Rows) -> None:
    rows = [{**row, "context": "something else"} for row in small_rows]
    with pytest.raises(DataError, match=r"In Python: TGDPOConfig\(.*columns=\.\..*\)") as caught:
        read(rows)
    assert "'context' would be ignored" in str(caught.value)
    assert ids(read(rows, columns={"context": None})) == ids(read(small_rows))


def test_a_format_may_be_asked_for(read: Read) -> None:
    rows = [{"chosen": "The cat sat on", "rejected": "The cat sat by"}]
    with pytest.raises(DataError, match=r"In Python: TGDPOConfig\(.*data_format=\.\..*\)"):
        read(rows)
    anywhere = {"boundary_inside_prompt": 1.0}
    assert len(read(rows, data_format="implicit", max_shares=anywhere).train) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"columns": {"chosne": "a"}}, "'chosne' is no field of a row. Did you mean 'chosen'"),
        ({"columns": ["prompt"]}, "'columns' must be a dict"),
        ({"data_format": "implict"}, "unknown value 'implict'. Did you mean 'implicit'"),
        ({"max_shares": {"truncate": 1}}, "'max_shares': truncate: .*Did you mean 'truncated'"),
        ({"max_shares": {"truncated": 1.5}}, "'max_shares': truncated: .*less than or equal to 1"),
        ({"max_shares": 0.5}, "'max_shares' must be a dict"),
    ],
    ids=str,
)
def test_settings_that_a_recipe_would_refuse_are_refused(
    settings: dict[str, Any], said: str, read: Read
) -> None:
    with pytest.raises(ValueError, match=said):
        read([], **settings)


def test_more_than_is_allowed_is_an_error_that_names_the_argument(
    read: Read, small_rows: Rows
) -> None:
    with pytest.raises(DataError, match=r"truncated: .* responses") as caught:
        read(small_rows, max_length=30)
    assert "In Python: TGDPOConfig(max_length=.., " in str(caught.value)
    assert "max_shares=.." in str(caught.value)
    allowed = {"truncated": 1.0}
    assert len(read(small_rows, max_length=30, max_shares=allowed).train) == len(small_rows)


def test_evaluation_pairs_that_are_trained_on_are_counted(read: Read, small_rows: Rows) -> None:
    with pytest.raises(DataError, match="eval_overlap: 12 of 12 pairs"):
        read(small_rows, small_rows)
    sets = {"same": small_rows, "part": small_rows[:2]}
    data = read(small_rows, sets, max_shares={"eval_overlap": 1.0})
    found = data.facts["evaluation_data"]
    assert {name: each["counts"]["eval_overlap"] for name, each in found.items()} == {
        "same": 12,
        "part": 2,
    }


def test_what_was_found_is_logged_once(
    read: Read, small_rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tgdpo_core")
    read(small_rows)
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "train_dataset: 12 pairs")
    ]
    caplog.clear()
    read([*small_rows, {"prompt": "x"}, small_rows[0]], on_bad_row="skip")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("train_dataset: 13 pairs; left_out: 1 (7.1% of rows); ")
    assert "duplicate: 1 (7.7% of pairs)" in record.message


def test_run_json_says_what_was_found(
    make_trainer: MakeTrainer, small_rows: Rows, run_record: Callable[..., dict[str, Any]]
) -> None:
    trainer = make_trainer(
        train_dataset=[*small_rows[:8], {"prompt": "x"}],
        on_bad_row="skip",
        eval_dataset=small_rows[8:],
        eval_strategy="epoch",
    )
    trainer.train()
    record = run_record(trainer.args.output_dir)
    assert record["data"]["rows"] == 9
    assert record["data"]["left_out"] == 1
    assert record["data"]["pairs"] == 8
    assert record["evaluation_data"]["pairs"] == 4
    assert record["layout"] == "text"
