"""Pairs that stand twice, that contradict each other, or that are evaluated on as well."""

import json
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.data.duplicates import count_duplicates, count_overlap
from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.training.plan import Plan, make_plan


def pair(prompt: str, chosen: str, rejected: str, **more: Any) -> PreferencePair:
    return PreferencePair(prompt, chosen, rejected, "here", **more)


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
    assert count_duplicates(pairs) == counts


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
    assert count_overlap(evaluation, [P, OTHER]) == counts


def planned(tmp_path: Path, train: list[Any], evaluation: list[Any], *overrides: str) -> Plan:
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
    return make_plan(recipe, PluginManager(env={"TGDPO_LOAD_PLUGINS": ""}))


def test_a_plan_reports_them(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["qab", "qab", "qba"], ["qab", "qxy", "rab"])
    assert plan.train.report.counts == {"duplicate": 1, "swapped_duplicate": 3}
    assert plan.evaluation
    assert plan.evaluation.report.counts == {"eval_overlap": 1, "eval_prompt_overlap": 2}


def test_a_slice_of_the_training_file_does_not_cut_the_evaluation_file(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["qab", "rab"], ["sab", "tab"], "data.split=train[:1]")
    assert len(plan.train.pairs) == 1
    assert plan.evaluation
    assert len(plan.evaluation.pairs) == 2


def test_format_and_columns_of_the_recipe_are_used(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, ["qab"], ["rab"], "data.columns={question: prompt}", "data.format=instruction"
    )
    assert plan.train.pairs[0].prompt == [{"role": "user", "content": "q"}]


def test_a_part_of_a_split_is_not_the_default_of_evaluation_splits(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.eval_split: required"):
        planned(tmp_path, ["qab"], ["rab"], "data.split=train[:1]", "data.eval_path=who/what")
