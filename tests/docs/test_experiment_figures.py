"""The experiments page: its tables and pictures are those of the stored results."""

import re

import pytest

pytestmark = pytest.mark.checkout


def test_the_page_shows_the_stored_results() -> None:
    from experiment_figures import PAGE, with_blocks

    page = PAGE.read_text(encoding="utf-8")
    assert with_blocks(page) == page


def test_every_stored_result_is_a_finding_of_the_page() -> None:
    from experiment_figures import DATA, FINDINGS, PICTURES

    assert {path.stem for path in DATA.glob("*.csv")} == set(FINDINGS)
    assert {path.stem for path in PICTURES.glob("*.svg")} == set(FINDINGS)


def test_a_number_that_was_changed_by_hand_is_noticed() -> None:
    from experiment_figures import PAGE, with_blocks

    page = PAGE.read_text(encoding="utf-8")
    changed = page.replace("0.863 ± 0.013 (11)", "0.893 ± 0.013 (11)")
    assert changed != page
    assert with_blocks(changed) == page


@pytest.mark.parametrize("name", ["rewards", "convergence", "quickstart"])
def test_a_picture_draws_every_point_of_its_lines(name: str) -> None:
    from experiment_figures import FINDINGS, PICTURES, picture, read

    svg = picture(name)
    stored = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    texts = [re.findall(r">([^<>]+)</text>", each) for each in (svg, stored)]
    assert texts[0] == texts[1]
    if name == "rewards":
        assert {row["cell"] for row in read(name)} <= set(texts[0])
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"|<!DOCTYPE[^>]+>', "", svg)
    assert FINDINGS[name].alt


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0.602 ± 0.039 (2)", (0.602, 0.039)),
        ("0.788 (9)", (0.788, 0.0)),
        ("0.759 (2)", (0.759, 0.0)),
    ],
)
def test_a_cell_is_read_as_mean_and_error(cell: str, expected: tuple[float, float]) -> None:
    from experiment_plots import value

    assert value(cell) == expected
