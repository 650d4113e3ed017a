"""What the trainer takes as data in Python, and its one line for everything else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.training.given_data import given_data, given_set

MakeTrainer = Callable[..., TGDPOTrainer]
Rows = list[dict[str, Any]]
MESSAGES = [
    {
        "prompt": [{"role": "user", "content": f"What is {i}?"}],
        "chosen": [{"role": "assistant", "content": "It is that."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    for i in range(3)
]


@pytest.fixture
def args(tmp_path: Path) -> TGDPOConfig:
    return TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, max_streamed_rows=20)


class MapStyle(torch.utils.data.Dataset[Any]):
    """A data set of torch: items by index, no iterator."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]


FORMS: dict[str, Callable[[Rows], Any]] = {
    "a list": list,
    "a tuple": tuple,
    "a Dataset": Dataset.from_list,
    "a DataFrame": pd.DataFrame,
    "an iterator": iter,
    "a generator": lambda rows: (row for row in rows),
    "an IterableDataset": lambda rows: IterableDataset.from_generator(lambda: iter(rows)),
    "a DatasetDict with one split": lambda rows: DatasetDict({"mine": Dataset.from_list(rows)}),
    "a DatasetDict with train": lambda rows: DatasetDict(
        {"test": Dataset.from_list(rows[:1]), "train": Dataset.from_list(rows)}
    ),
    "a streamed DatasetDict": lambda rows: IterableDatasetDict(
        {"train": IterableDataset.from_generator(lambda: iter(rows))}
    ),
    "a map-style data set": MapStyle,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_rows_gives_the_same_pairs(
    form: str, small_rows: Rows, small_tokenizer: Any, args: TGDPOConfig
) -> None:
    expected = given_set(small_rows, small_tokenizer, args, "train_dataset").tokens
    found = given_set(FORMS[form](small_rows), small_tokenizer, args, "train_dataset").tokens
    assert [pair.ids_hash() for pair in found] == [pair.ids_hash() for pair in expected]
    assert [pair.pair.where for pair in found] == [pair.pair.where for pair in expected]


def test_a_frame_of_messages_as_parquet_gives_them_is_read(
    small_tokenizer: Any, args: TGDPOConfig
) -> None:
    frame = pd.DataFrame(
        [{k: np.array(v, dtype=object) for k, v in row.items()} for row in MESSAGES]
    )
    found = given_set(frame, small_tokenizer, args, "train_dataset").tokens
    expected = given_set(MESSAGES, small_tokenizer, args, "train_dataset").tokens
    assert [pair.ids_hash() for pair in found] == [pair.ids_hash() for pair in expected]


def test_pairs_that_are_tokenized_are_taken_as_they_are(
    small_rows: Rows, small_tokenizer: Any, args: TGDPOConfig
) -> None:
    pairs = given_set(small_rows, small_tokenizer, args, "train_dataset").tokens
    assert given_set(pairs, small_tokenizer, args, "train_dataset").tokens is pairs
    listed = tuple(pairs)
    assert list(given_set(listed, small_tokenizer, args, "x").tokens) == list(listed)


class NoLength(torch.utils.data.Dataset[Any]):
    """A data set that says nothing of itself."""


REFUSED: dict[str, tuple[Callable[[Rows], Any], str]] = {
    "text": (lambda _: "pairs.jsonl", r"got str\. A file .*load_dataset\('pairs.jsonl'"),
    "a number": (lambda _: 3, "got int"),
    "bytes": (lambda _: b"x", "got bytes"),
    "a function": (lambda rows: lambda: rows, "got function"),
    "None among None": (lambda _: [None, None], r"train_dataset\[0\]: expected a dict .* got None"),
    "tuples": (
        lambda rows: [tuple(row.values()) for row in rows],
        r"\[0\]: expected a dict .* got tuple",
    ),
    "texts": (lambda _: ["a", "b"], "got str"),
    "an array": (lambda _: np.zeros((2, 2)), "got numpy.ndarray"),
    "a tensor": (lambda _: torch.zeros(2, 2), "got torch.Tensor"),
    "a torch data set of tensors": (
        lambda _: torch.utils.data.TensorDataset(torch.zeros(2)),
        r"\[0\]: expected a dict .* got tuple",
    ),
    "a torch data set without items": (lambda _: NoLength(), r"got .*NoLength"),
    "one row": (lambda rows: rows[0], "is one row"),
    "a dict of splits": (lambda rows: {"train": rows}, r"is a dict with \['train'\]"),
    "other splits": (
        lambda rows: DatasetDict({n: Dataset.from_list(rows[:1]) for n in ("a", "b")}),
        r"the splits a, b, none of which is 'train': give one of them, data\['NAME'\]",
    ),
    "a long stream": (lambda rows: iter(rows * 3), "more than 20 rows.*max_streamed_rows"),
    **{
        f"an empty {name}": (lambda _, make=make: make([]), "train_dataset is empty")
        for name, make in FORMS.items()
        if "Dict" not in name and "Iterable" not in name
    },
}


@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused_in_one_line(
    kind: str, small_rows: Rows, small_tokenizer: Any, args: TGDPOConfig
) -> None:
    make, said = REFUSED[kind]
    with pytest.raises(DataError, match=said) as caught:
        given_set(make(small_rows), small_tokenizer, args, "train_dataset")
    assert "\n" not in str(caught.value)


def test_a_row_that_is_none_among_others_is_named(
    small_rows: Rows, small_tokenizer: Any, args: TGDPOConfig
) -> None:
    with pytest.raises(DataError, match=r"train_dataset\[1\]: a row must be a mapping"):
        given_set([small_rows[0], None], small_tokenizer, args, "train_dataset")


@pytest.mark.parametrize("data", [{}, [], {"": [1]}, {"prompt": "a", "chosen": "b"}, {"a": []}])
def test_evaluation_sets_that_are_none_are_refused(
    data: Any, small_rows: Rows, small_tokenizer: Any, args: TGDPOConfig
) -> None:
    with pytest.raises(DataError, match="eval_dataset"):
        given_data(small_rows, data, small_tokenizer, args)


@pytest.mark.parametrize("make", [dict, lambda sets: DatasetDict(
    {name: Dataset.from_list(rows) for name, rows in sets.items()}
)])  # fmt: skip
def test_each_evaluation_set_has_metrics_of_its_own(
    make: Any, make_trainer: MakeTrainer, small_rows: Rows
) -> None:
    parts = {"first": small_rows[:5], "second": small_rows[5:8]}
    settings = {"eval_strategy": "epoch", "learning_rate": 1e-2}
    trainer = make_trainer(eval_dataset=make(parts), **settings)
    trainer.train()
    logged = {k: v for row in trainer.state.log_history for k, v in row.items()}
    for name, rows in parts.items():
        alone = make_trainer(f"alone_{name}", eval_dataset=rows, **settings)
        alone.train()
        single = {k: v for row in alone.state.log_history for k, v in row.items()}
        for metric in ("loss", "rewards/margins", "logps/chosen"):
            assert logged[f"eval_{name}_{metric}"] == pytest.approx(single[f"eval_{metric}"])
        assert trainer.evaluate(name)["eval_loss"] == pytest.approx(single["eval_loss"])
    assert logged["eval_first_loss"] != logged["eval_second_loss"]


def test_rows_given_to_evaluate_are_refused(make_trainer: MakeTrainer, small_rows: Rows) -> None:
    with pytest.raises(UsageError, match="takes the name of an evaluation set"):
        make_trainer().evaluate(small_rows)


KWARGS: dict[str, tuple[Any, str]] = {
    "tokenizer": (object(), "called processing_class"),
    "data_collator": (list, "packed into rows"),
    "peft_config": (object(), "get_peft_model"),
    "compute_metrics": (len, "Judge"),
    "formatting_func": (str, "prompt, chosen, rejected"),
    "model_init": (list, "give the model"),
    "compute_loss_func": (sum, "loss_type"),
    "preprocess_logits_for_metrics": (sum, "no logits"),
    "beta": (0.3, r"args=TGDPOConfig\(beta="),
    "max_length": (10, r"args=TGDPOConfig\(max_length="),
    "reward_funcs": (len, "token_reward"),
    "token_rewards": ("none", "Did you mean 'token_reward'"),
}


@pytest.mark.parametrize("name", KWARGS)
def test_an_argument_of_another_trainer_is_refused_with_ours(
    name: str, model_folder: Path, small_rows: Rows, args: TGDPOConfig
) -> None:
    value, said = KWARGS[name]
    with pytest.raises(UsageError, match=rf"takes no {name}.*{said}") as caught:
        TGDPOTrainer(str(model_folder), args=args, train_dataset=small_rows, **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": None}, "model must be .* got NoneType"),
        ({"model": 3}, "model must be .* got int"),
        ({"ref_model": 3}, "ref_model must be .* got int"),
        ({"args": {"beta": 0.1}}, "args must be a TGDPOConfig, got dict"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused(
    changed: dict[str, Any],
    said: str,
    model_folder: Path,
    small_rows: Rows,
    args: TGDPOConfig,
) -> None:
    given = {"model": str(model_folder), "args": args, "train_dataset": small_rows, **changed}
    with pytest.raises(UsageError, match=said):
        TGDPOTrainer(**given)


def test_a_path_is_a_model(model_folder: Path, small_rows: Rows, args: TGDPOConfig) -> None:
    trainer = TGDPOTrainer(model_folder, model_folder, args=args, train_dataset=small_rows)
    assert json.dumps(trainer._facts["model"]) == json.dumps(str(model_folder))


def test_an_evaluation_strategy_without_data_is_refused_before_any_work(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="eval_strategy=epoch needs an eval_dataset"):
        make_trainer(eval_strategy="epoch")
    assert not (tmp_path / "store").exists()
