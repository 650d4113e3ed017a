"""Charts: SVG that parses, gaps where there is no number, nothing of the data as markup."""

from xml.etree import ElementTree

import numpy as np

from tgdpo_core.reports.charts import Line, histogram_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def draw(values: list[float], name: str = "loss") -> ElementTree.Element:
    line = Line(name, np.arange(len(values), dtype=float), np.array(values), "#123456")
    text = line_chart([line], [(name, "#123456", "")], x_label="epoch", y_label="loss")
    return ElementTree.fromstring(text)


def paths(chart: ElementTree.Element) -> list[str]:
    return [p.get("d", "") for p in chart.iter(f"{SVG}path") if p.get("stroke") == "#123456"]


def test_a_value_that_is_no_number_is_a_gap_and_a_mark_at_the_foot() -> None:
    chart = draw([1.0, 2.0, float("nan"), 3.0, 4.0])
    curve = paths(chart)[0]
    assert curve.count("M") == 2
    assert curve.count("L") == 2
    marks = [p for p in chart.iter(f"{SVG}path") if p.get("class") == "gap"]
    assert [mark.findtext(f"{SVG}title") for mark in marks] == ["loss is no finite number at 2"]


def test_a_point_between_gaps_is_seen() -> None:
    chart = draw([float("nan"), 2.0, float("inf")])
    circles = [c for c in chart.iter(f"{SVG}circle") if c.get("fill-opacity") != "0"]
    assert [circle.findtext(f"{SVG}title") for circle in circles] == ["loss 2 at 1"]


def test_a_line_of_no_numbers_at_all_is_drawn_as_marks() -> None:
    chart = draw([float("nan")] * 3)
    assert len([p for p in chart.iter(f"{SVG}path") if p.get("class") == "gap"]) == 3


def test_higher_values_stand_higher() -> None:
    circles = list(draw([1.0, 2.0]).iter(f"{SVG}circle"))
    assert float(circles[0].get("cy", 0)) > float(circles[1].get("cy", 0))
    assert float(circles[0].get("cx", 0)) < float(circles[1].get("cx", 0))


def test_names_are_text_and_long_ones_are_cut_in_the_middle() -> None:
    name = "<script>&\"'" + "x" * 80 + "end"
    chart = draw([1.0, 2.0], name)
    assert {e.tag for e in chart.iter()} <= {
        f"{SVG}{t}" for t in ("svg", "g", "path", "circle", "title", "text")
    }
    legend = [t.text or "" for t in chart.iter(f"{SVG}text")][-1]
    assert legend.startswith("<script>")
    assert legend.endswith("end")
    assert len(legend) < 60


def test_a_histogram_reaches_its_highest_share() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    sides = [("chosen", np.array([0.25, 0.75]), "#123456")]
    chart = ElementTree.fromstring(histogram_chart(edges, sides, x_label="reward", middle=1.0))
    (bars,) = paths(chart)[:1]
    assert bars.startswith("M")
    assert chart.findtext(f".//{SVG}text") == "0"
