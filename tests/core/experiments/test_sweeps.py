"""Which cells are the points of a sweep."""

from typing import Any

from tgdpo_core.experiments.collection import collect
from tgdpo_core.experiments.comparison import results_of
from tgdpo_core.experiments.sweeps import sweeps


def found(ablation: Any) -> dict[str, dict[str, list[float]]]:
    """Return setting -> label of the line -> its values."""
    summaries = results_of(collect(ablation.folder)).summaries
    return {
        sweep.setting: {label: [x for x, _ in points] for label, points in sweep.lines.items()}
        for sweep in sweeps(summaries)
    }


def test_cells_that_differ_in_one_setting_are_a_line_in_ascending_order(ablation: Any) -> None:
    for alpha in (2.0, 0.5, 1):
        ablation.judged(
            f"tgdpo,alpha={alpha}", [0.1, alpha / 4], settings={"alpha": alpha, "beta": 0.1}
        )
    assert found(ablation) == {"alpha": {"tgdpo": [0.5, 1.0, 2.0]}}


def test_a_variant_with_two_lines_names_what_tells_them_apart(ablation: Any) -> None:
    for beta in (0.1, 0.5):
        for alpha in (1.0, 2.0):
            settings = {"alpha": alpha, "beta": beta, "reward": "induced"}
            ablation.judged(f"tgdpo,{alpha},{beta}", [0.1, 0.5], settings=settings)
    assert found(ablation) == {
        "alpha": {"tgdpo,beta=0.1": [1.0, 2.0], "tgdpo,beta=0.5": [1.0, 2.0]},
        "beta": {"tgdpo,alpha=1.0": [0.1, 0.5], "tgdpo,alpha=2.0": [0.1, 0.5]},
    }


def test_variants_do_not_share_a_line(ablation: Any) -> None:
    ablation.judged("a", [0.1, 0.5], settings={"alpha": 1.0})
    ablation.judged("b", [0.1, 0.5], settings={"alpha": 2.0})
    assert found(ablation) == {}


def test_a_cell_that_was_not_evaluated_is_no_point(ablation: Any) -> None:
    ablation.judged("a,1", [0.1, 0.5], settings={"alpha": 1.0})
    ablation.add("a,2", settings={"alpha": 2.0})
    assert found(ablation) == {}
