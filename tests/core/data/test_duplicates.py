"""Pairs that stand twice, that contradict each other, or that are evaluated on as well."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.data.duplicates import PairHashes, count_duplicates, count_overlap, pair_hashes
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.preparation.reading import Pairs, read
from tgdpo_core.recipe.loading import resolve_recipe


def pair(prompt: str, chosen: str, rejected: str, **more: Any) -> PreferencePair:
    return PreferencePair(prompt, chosen, rejected, "here", **more)


def hashes(pairs: list[PreferencePair]) -> PairHashes:
    return PairHashes.of(pair_hashes(pair) for pair in pairs)


P, SWAPPED, OTHER = pair("q", "a", "b"), pair("q", "b", "a"), pair("q", "a", "c")


@pytest.mark.parametrize(
    ("pairs", "counts"),
    [
        ([P, OTHER], {}),
        ([P, P, P], {"duplicate": 2}),
        ([P, SWAPPED], {"swapped_duplicate": 2}),
        ([P, P, SWAPPED, OTHER], {"duplicate": 1, "swapped_duplicate": 3}),
        ([P, pair("q", "a", "b", columns={"x": 1})], {"duplicate": 1}),
        ([P, pair("q", "a", "b", tools=[{"name": "f"}])], {}),
    ],
    ids=["none", "exact", "swapped", "both", "columns do not matter", "tools do"],
)
def test_duplicates_are_counted(pairs: list[PreferencePair], counts: dict[str, int]) -> None:
    assert count_duplicates(hashes(pairs)) == counts


@pytest.mark.parametrize(
    ("evaluation", "counts"),
    [
        ([pair("r", "a", "b")], {}),
        ([P], {"eval_overlap": 1, "eval_prompt_overlap": 1}),
        ([SWAPPED], {"eval_overlap": 1, "eval_prompt_overlap": 1}),
        ([pair("q", "x", "y"), P], {"eval_overlap": 1, "eval_prompt_overlap": 2}),
    ],
    ids=["none", "the same pair", "swapped", "one prompt"],
)
def test_overlap_is_counted(evaluation: list[PreferencePair], counts: dict[str, int]) -> None:
    assert count_overlap(hashes(evaluation), hashes([P, OTHER])) == counts


def planned(tmp_path: Path, train: list[Any], evaluation: list[Any], *overrides: str) -> Pairs:
    for name, rows in (("train", train), ("eval", evaluation)):
        lines = [
            json.dumps(dict(zip(("prompt", "chosen", "rejected"), r, strict=True))) for r in rows
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    settings = {
        "model.name_or_path": "playground",
        "data.path": str(tmp_path / "train.jsonl"),
        "data.eval_path": str(tmp_path / "eval.jsonl"),
        "output_dir": "x",
    }
    recipe = resolve_recipe({}, settings=settings, overrides=overrides)
    return read(make_plan(recipe, PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})))


def test_a_plan_reports_them(tmp_path: Path) -> None:
    pairs = planned(tmp_path, ["qab", "qab", "qba"], ["qab", "qxy", "rab"])
    assert pairs.train.report.counts == {"duplicate": 1, "swapped_duplicate": 3}
    assert pairs.evaluation
    assert pairs.evaluation.report.counts == {"eval_overlap": 1, "eval_prompt_overlap": 2}


def test_a_slice_of_the_training_file_does_not_cut_the_evaluation_file(tmp_path: Path) -> None:
    pairs = planned(tmp_path, ["qab", "rab"], ["sab", "tab"], "data.split=train[:1]")
    assert len(pairs.train) == 1
    assert pairs.evaluation
    assert len(pairs.evaluation) == 2


def test_format_and_columns_of_the_recipe_are_used(tmp_path: Path) -> None:
    pairs = planned(
        tmp_path, ["qab"], ["rab"], "data.columns={question: prompt}", "data.format=instruction"
    )
    assert pairs.train[0].prompt == [{"role": "user", "content": "q"}]


def test_a_part_of_a_split_is_not_the_default_of_evaluation_splits(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.eval_split: required"):
        planned(tmp_path, ["qab"], ["rab"], "data.split=train[:1]", "data.eval_path=who/what")
