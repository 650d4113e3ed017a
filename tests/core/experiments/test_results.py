"""From the logs of an ablation to results.csv and results.md."""

import re
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.experiments.results import write_results


def table(folder: Path, title: str) -> dict[str, dict[str, str]]:
    """Return a table of results.md: first cell of a row -> column -> text."""
    text = (folder / "results.md").read_text()
    _, _, rest = text.partition(f"## {title}\n\n")
    columns, _, *rows = (
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in rest.partition("\n\n")[0].splitlines()
    )
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def headline(folder: Path) -> str:
    return (folder / "results.md").read_text().split("\n\n")[1]


@pytest.fixture
def two_cells(ablation: Any) -> Any:
    """Three seeds; TGDPO is better by 0.1, 0.2, 0.3 at its peak and worse by 0.1 at the end."""
    for seed, base in enumerate((0.3, 0.4, 0.2)):
        ablation.judged("dpo", [0.1, base, base - 0.1], seed, kl=[0, 1, 2])
        gain = 0.1 * (seed + 1)
        ablation.judged(
            "tgdpo", [0.1, base, base + gain, base - 0.2], seed, kl=[0, 2, 4, 8],
            settings={"reward": "induced", "beta": 0.1, "alpha": 0.5},
            trained={"weights/mean_chosen": 1.25, "weights/mean_rejected": 0.75,
                     "logps/chosen_delta": -2.0},
        )  # fmt: skip
    return ablation


def test_the_main_table_by_hand(two_cells: Any) -> None:
    write_results(two_cells.folder)
    rows = table(two_cells.folder, "Results")
    # dpo: peak at epoch 1, mean of .3 .4 .2; standard error .1 / sqrt(3).
    assert rows["dpo"]["peak: judge, sampled (epoch)"] == "0.300 ± 0.058 (1)"
    assert rows["dpo"]["end: judge, sampled"] == "0.200 ± 0.058"
    assert rows["dpo"]["against the baseline"] == "is the baseline"
    # tgdpo: peak at epoch 2 (.4 .6 .5); differences to dpo's own peak .1 .2 .3.
    assert rows["tgdpo"]["peak: judge, sampled (epoch)"] == "0.500 ± 0.058 (2)"
    assert rows["tgdpo"]["peak − baseline"].startswith("+0.200 [")
    assert rows["tgdpo"]["end − baseline"] == "−0.100 [−0.100, −0.100]"
    assert rows["tgdpo"]["mean f_w / f_l"] == "1.25 / 0.75"
    assert rows["tgdpo"]["KL at end"] == "8.00"
    assert rows["tgdpo"]["chosen log-prob. change"] == "−2.00"
    assert rows["tgdpo"]["loss at end"] == "0.200"
    assert rows["tgdpo"]["seeds"] == "3"
