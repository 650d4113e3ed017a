"""The best-tuned baseline at the same distance from the reference."""

from typing import Any

import pytest

from tgdpo_core.experiments.collection import collect
from tgdpo_core.experiments.comparison import results_of
from tgdpo_core.experiments.equal_kl import BestAtKL

SEEDS = (0, 1, 2)


def found(ablation: Any) -> dict[float, BestAtKL]:
    return {best.level: best for best in results_of(collect(ablation.folder)).best_at_kl}


@pytest.fixture
def swept(ablation: Any) -> Any:
    """Near 1 nat the slow DPO is better by .1, near 2 nats only the fast one is; both have two
    evaluations, so that scores rise in a line.
    """
    for seed in SEEDS:
        ablation.judged("dpo,lr=1", [0.1, 0.4 + seed / 100], seed, kl=[0, 1])
        ablation.judged("dpo,lr=2", [0.1, 0.5 + seed / 100], seed, kl=[0, 2], baseline="dpo,lr=1")
        ablation.judged("oracle", [0.1, 0.9 + seed / 50], seed, kl=[0, 2], baseline="dpo,lr=1")
    for cell in ablation.cells:
        cell["baseline"] = "dpo,lr=1"
    ablation._write_cells()
    return ablation


def test_each_level_has_its_own_best_cell_and_differences_are_paired(swept: Any) -> None:
    best = found(swept)
    assert list(best) == [0.1, 0.25, 0.5, 1.0, 1.5, 2.0]
    assert {level: one.name for level, one in best.items()} == {
        **dict.fromkeys((0.1, 0.25, 0.5, 1.0), "dpo,lr=1"),
        **dict.fromkeys((1.5, 2.0), "dpo,lr=2"),
    }
    at_one = best[1.0]
    assert at_one.score.mean == pytest.approx(0.41)
    # The oracle is half-way from .1 to .9, .92, .94: .5, .51, .52 less .4, .41, .42.
    assert at_one.rivals["oracle"].estimate.mean == pytest.approx(0.1)
    assert at_one.rivals["oracle"].verdict == "above"
    assert best[2.0].rivals["oracle"].estimate.mean == pytest.approx(0.41)


def test_a_cell_that_one_lucky_seed_brings_there_is_not_the_best_tuned(swept: Any) -> None:
    for seed, kl in zip(SEEDS, (3.0, 0.2, 0.2), strict=True):
        swept.judged("dpo,lr=9", [0.1, 0.99], seed, kl=[0, kl], baseline="dpo,lr=1")
    best = found(swept)
    assert best[2.0].name == "dpo,lr=2"
    assert best[0.1].name == "dpo,lr=9"


def test_a_rival_that_does_not_get_there_is_not_compared(swept: Any) -> None:
    for seed in SEEDS:
        swept.judged("near", [0.1, 0.3], seed, kl=[0, 0.6], baseline="dpo,lr=1")
    best = found(swept)
    assert "near" in best[0.5].rivals
    assert "near" not in best[1.0].rivals


def test_where_nobody_else_gets_there_is_no_row(ablation: Any) -> None:
    for seed in SEEDS:
        ablation.judged("dpo,lr=1", [0.1, 0.4], seed, kl=[0, 1], baseline="dpo,lr=1")
        ablation.judged("dpo,lr=2", [0.1, 0.4], seed, kl=[0, 4], baseline="dpo,lr=1")
        ablation.judged("oracle", [0.1, 0.4], seed, kl=[0, 0.3], baseline="dpo,lr=1")
    assert list(found(ablation)) == [0.1, 0.25]


def test_the_report_has_a_table_and_one_sentence(swept: Any) -> None:
    text = results_of(collect(swept.folder)).markdown().replace("\N{MINUS SIGN}", "-")
    assert "## Against the best-tuned baseline at equal KL" in text
    assert "- KL 1: dpo,lr=1 (judge, sampled 0.410 ± 0.006)" in text
    assert "The best-tuned baseline is beaten at KL 0.1, 0.25, 0.5, 1 by oracle" not in text
    sentences = [line for line in text.splitlines() if "is beaten at KL" in line]
    assert len(sentences) == 1
    assert "at KL 1 by oracle (+0.100 [" in sentences[0]
    assert "chosen on the same evaluations, it is slightly optimistic" in text


def test_a_baseline_of_one_cell_is_not_tuned(ablation: Any) -> None:
    for seed in SEEDS:
        ablation.judged("dpo", [0.1, 0.4], seed, kl=[0, 1])
        ablation.judged("oracle", [0.1, 0.5], seed, kl=[0, 1])
    assert not found(ablation)
    assert "slightly optimistic. " not in results_of(collect(ablation.folder)).notes[-1]
