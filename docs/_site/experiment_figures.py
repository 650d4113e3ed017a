"""Tables and plots of the experiments page, from the stored results in docs/experiments/*.csv.

    python docs/_site/experiment_figures.py     # rewrites docs/experiments.md and its pictures

A file holds a table as it was reported, cell for cell; nothing is computed from it but the places
of dots and lines. On the page a block between `<!-- NAME -->` and `<!-- end -->` is made here.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiment_plots import Rows, along_kl, at_equal_kl, dots, over_setting
from tgdpo_core.reports.figures import STYLE, svg_of

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "experiments.md"
DATA = DOCS / "experiments"
PICTURES = DOCS / "assets" / "experiments"


@dataclass(frozen=True)
class Finding:
    """A finding's picture and tables.

    Attributes:
        alt: what the picture shows, for those who do not see it.
        draw: draws the rows.
        rows: first column of the rows in the small table.
        columns: of the small table.
        size: of the picture, in inches.
    """

    alt: str
    draw: Callable[[Axes, Rows], None]
    rows: Sequence[str]
    columns: Sequence[str]
    size: tuple[float, float] = field(default=(6.4, 3.2))


def read(name: str) -> Rows:
    """Return the rows of a stored table."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


_SHORT = ("cell", "peak (epoch)", "end", "peak \N{MINUS SIGN} best DPO")
FINDINGS: Mapping[str, Finding] = {
    "quickstart": Finding(
        "Solved rate over beta: DPO and both rewards rise to beta 0.5 or 1, where they are close",
        partial(
            over_setting,
            setting="beta",
            columns={"sampled": "-"},
            lines=("dpo", "induced", "oracle"),
        ),
        ("dpo,beta=0.1", "dpo,beta=1", "induced,beta=0.5", "oracle,beta=0.1", "oracle,beta=0.5"),
        ("cell", "greedy", "sampled"),
    ),
    "rewards": Finding(
        "Solved rate at peak and end: only prm and oracle-beta-0.5 pass the best DPO",
        dots,
        (
            "dpo,beta=0.1",
            "dpo,beta=1",
            "induced,alpha=0.5",
            "oracle",
            "oracle-beta-0.5",
            "prm",
            "prm+class-mean",
        ),
        _SHORT,
        (6.4, 5.6),
    ),
    "alpha": Finding(
        "Solved rate over alpha: of the induced reward it falls, of exact rewards it rises",
        partial(
            over_setting,
            setting="alpha",
            columns={"peak (epoch)": "-", "end": "--"},
            lines=("induced", "oracle"),
        ),
        ("ones", "induced,alpha=0.5", "induced,alpha=5", "oracle,alpha=0.5", "oracle,alpha=5"),
        _SHORT,
    ),
    "reward-beta": Finding(
        "Solved rate at peak and end for three betas of the induced reward, all below DPO",
        dots,
        ("dpo,beta=1", "induced,reward_beta=0.05", "induced,reward_beta=0.5"),
        _SHORT,
        (6.4, 2.6),
    ),
    "convergence": Finding(
        "Solved rate at equal KL: prm above DPO at every beta, the induced reward below",
        partial(
            at_equal_kl,
            lines=(
                "dpo,beta=0.1",
                "dpo,beta=1",
                "induced,alpha=0.5",
                "oracle-beta-0.5",
                "prm",
                "random",
            ),
        ),
        ("dpo,beta=0.1", "dpo,beta=1", "induced,alpha=0.5", "prm"),
        ("cell", "peak (epoch)", "end", "KL at end", "loss at end"),
    ),
    "cross-domain": Finding(
        "Solved rate on prompts with * alone: DPO at beta 1 is highest, no reward is above it",
        dots,
        ("dpo,beta=0.1", "dpo,beta=1", "induced", "oracle,beta=0.5"),
        _SHORT,
    ),
    "noisy": Finding(
        "Solved rate with a fifth of the labels wrong: prm far above all others",
        dots,
        ("dpo,beta=0.1", "dpo,beta=0.5", "induced,alpha=0.5", "oracle,beta=0.5", "prm"),
        _SHORT,
        (6.4, 4.8),
    ),
    "prm": Finding(
        "Solved rate of one reward model in several forms: recommended and logit are highest",
        dots,
        ("dpo,beta=1", "recommended", "recommended+permute", "logit", "error"),
        _SHORT,
        (6.4, 3.9),
    ),
    "worlds-of-choice": Finding(
        "Solved rate of rewards without step labels on the two worlds of choice: none is above DPO",
        dots,
        ("dpo,beta=1", "self-consistency", "contrast,alpha=0.5", "confidence,beta=0.5"),
        _SHORT,
        (6.4, 4.2),
    ),
    "fresh-worlds": Finding(
        "Solved rate on fresh worlds: steps, monte-carlo and contrast are above the best DPO",
        dots,
        ("dpo,beta=1", "monte-carlo-centered", "contrast", "contrast+class-mean", "steps"),
        _SHORT,
        (6.4, 3.9),
    ),
    "smol-mood": Finding(
        "Mood over KL: oracle and, more widely spread, contrast are above DPO beyond two nats",
        partial(
            along_kl,
            lines=(
                "dpo,learning_rate=2e-05,beta=0.1",
                "dpo,learning_rate=4e-05,beta=0.05",
                "oracle",
                "learned",
                "contrast",
                "induced",
            ),
        ),
        (
            "dpo,learning_rate=2e-05,beta=0.1",
            "dpo,learning_rate=4e-05,beta=0.05",
            "oracle",
            "oracle+class-mean",
            "learned",
            "contrast",
            "induced",
            "random",
        ),
        ("cell", "end", "end \N{MINUS SIGN} best DPO", "KL", "finished", "of finished"),
    ),
}


def picture(name: str) -> str:
    """Return the picture of a finding as SVG that can be read on light and on dark pages."""
    finding = FINDINGS[name]
    style: dict[Any, Any] = {
        **STYLE,
        "svg.hashsalt": name,
        "font.size": 9.5,
        "legend.fontsize": 8.5,
    }
    with mpl.rc_context(style):
        drawn = Figure(figsize=finding.size, layout="constrained")
        finding.draw(drawn.add_subplot(), read(name))
        return svg_of(drawn)


# -- tables ---------------------------------------------------------------------------------------


def block(name: str) -> str:
    """Return what stands on the page for a finding: picture, small table, all rows folded away."""
    finding, rows = FINDINGS[name], read(name)
    chosen = [row for key in finding.rows for row in rows if row["cell"] == key]
    return "\n".join(
        (
            f"![{finding.alt}](assets/experiments/{name}.svg)\n",
            *table(chosen, finding.columns),
            f'\n<details markdown="1"><summary>All {len(rows)} rows</summary>\n',
            *table(rows, list(rows[0])),
            "\n</details>",
        )
    )


def table(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(row[column] for column in columns)} |"


def with_blocks(page: str) -> str:
    """Return the page with every block made anew."""
    for name in FINDINGS:
        begin, end = f"<!-- {name} -->\n", "\n<!-- end -->"
        before, found, rest = page.partition(begin)
        if not found:
            raise ValueError(f"{PAGE.name} has no block {name}")
        page = before + begin + block(name) + end + f"\n{rest}".partition(end)[2]
    return page


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for each in FINDINGS:
        (PICTURES / f"{each}.svg").write_text(picture(each), encoding="utf-8")
    PAGE.write_text(with_blocks(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
