"""The plots of an ablation."""

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tgdpo_core.experiments.collection import collect
from tgdpo_core.experiments.comparison import results_of
from tgdpo_core.experiments.figures import Plot
from tgdpo_core.experiments.looks import INK
from tgdpo_core.experiments.plots import plots

TRAINED = {
    "rewards/margins": 0.2,
    "logps/chosen_delta": -1.0,
    "weights/mean_chosen": 1.25,
    "weights/mean_rejected": 0.75,
    "weights/std": 0.2,
}
EVERY = [
    *("differences", "metric", "loss", "margin", "displacement", "kl", "metric-against-kl"),
    *("sweep-alpha", "weights"),
]


def drawn(ablation: Any) -> dict[str, Plot]:
    collection = collect(ablation.folder)
    results = results_of(collection)
    return {plot.name: plot for plot in plots(collection, results.metric, results.summaries)}


def texts(plot: Plot) -> list[str]:
    """Return what is written in a plot."""
    found = ElementTree.fromstring(plot.svg).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join(text.itertext()) for text in found]


def legend(plot: Plot) -> list[str]:
    return [text for text in texts(plot) if re.match("dpo|tgdpo|variant", text)]


def colours(plot: Plot) -> set[str]:
    """Return the colours of the lines that belong to cells."""
    thick = re.findall(r"stroke: (#\w{6}); stroke-width: 1\.6", plot.svg)
    assert thick
    return set(thick)


@pytest.fixture
def sweep(ablation: Any) -> Any:
    for seed in range(2):
        ablation.judged("dpo", [0.3, 0.5, 0.4], seed, kl=[0, 1, 3], trained=TRAINED)
        for alpha in (0.5, 1.0):
            ablation.judged(
                f"tgdpo,alpha={alpha}",
                [0.3, 0.5 + seed / 10, 0.6],
                seed,
                kl=[0, 2, 19],
                trained=TRAINED,
                settings={"reward": "induced", "beta": 0.1, "alpha": alpha},
            )
    return ablation


def test_every_plot_for_which_there_is_data_is_well_formed_svg(sweep: Any) -> None:
    found = drawn(sweep)
    assert list(found) == EVERY
    for plot in found.values():
        root = ElementTree.fromstring(plot.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert texts(plot)


def test_the_same_data_give_the_same_bytes(sweep: Any) -> None:
    first = {name: plot.svg for name, plot in drawn(sweep).items()}
    assert {name: plot.svg for name, plot in drawn(sweep).items()} == first


def test_other_data_give_another_plot(sweep: Any) -> None:
    first = drawn(sweep)
    sweep.judged("tgdpo,alpha=2.0", [0.3, 0.9, 0.9], settings={"alpha": 2.0})
    second = drawn(sweep)
    assert second["metric"].svg != first["metric"].svg
    assert second["kl"].svg == first["kl"].svg  # the new cell logged none


def test_without_evaluations_there_are_the_curves_of_training(ablation: Any) -> None:
    ablation.done("dpo", [{"step": n, "epoch": float(n), "loss": 0.5, **TRAINED} for n in (1, 2)])
    assert list(drawn(ablation)) == ["loss", "margin", "displacement", "weights"]


def test_no_data_no_plot(ablation: Any) -> None:
    ablation.add("dpo")
    assert drawn(ablation) == {}


def test_the_baseline_has_the_ink_of_the_axes_and_the_others_have_colours(sweep: Any) -> None:
    plot = drawn(sweep)["loss"]
    assert legend(plot) == ["dpo", "tgdpo,alpha=0.5", "tgdpo,alpha=1.0"]
    assert len(colours(plot)) == 3
    assert INK in colours(plot)


def test_of_many_cells_the_baseline_and_the_best_of_each_variant_have_lines(ablation: Any) -> None:
    for beta, score in ((0.1, 0.5), (0.2, 0.8), (0.5, 0.6)):
        ablation.judged(f"dpo,beta={beta}", [0.3, score], baseline="dpo,beta=0.1")
    for alpha in range(9):
        ablation.judged(f"tgdpo,alpha={alpha}", [0.3, alpha / 10], baseline="dpo,beta=0.1")
    assert legend(drawn(ablation)["metric"]) == ["dpo,beta=0.1", "dpo,beta=0.2", "tgdpo,alpha=8"]


def test_more_lines_than_colours_differ_in_their_dashes(ablation: Any) -> None:
    for number in range(12):
        ablation.judged(f"variant{number}", [0.3, 0.5], baseline=None)
    svg = drawn(ablation)["loss"].svg
    lines = re.findall(r'clip-path="[^"]*" style="fill: none; ([^"]*stroke-width: 1.6[^"]*)"', svg)
    assert len(lines) == len(set(lines)) == 12


def test_a_long_name_keeps_its_end(ablation: Any) -> None:
    ablation.judged("variant-" + "x" * 50 + ",alpha=0.5", [0.3, 0.5])
    (name,) = legend(drawn(ablation)["loss"])
    assert name.startswith("variant-xxx")
    assert name.endswith("xxx,alpha=0.5")
    assert len(name) < 45


def test_names_are_text_whatever_is_in_them(ablation: Any) -> None:
    name = "variant<script>&$x^2$\N{RIGHT-TO-LEFT OVERRIDE}\x00"
    ablation.judged(name, [0.3, 0.5])
    (shown,) = legend(drawn(ablation)["loss"])
    assert shown == "variant<script>&$x^2$\\u202e\\x00"


def test_the_ticks_of_the_kl_axis_leave_each_other_room(sweep: Any) -> None:
    ticks = [float(text) for text in texts(drawn(sweep)["metric-against-kl"])[:6]]
    assert ticks == [0, 0.2, 1, 2, 5, 10]
