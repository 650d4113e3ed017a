"""The page of runs: what is there is shown, what is not is said, nothing of the data is markup."""

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.reports.runs.page import run_page, summary
from tgdpo_core.training.run_reports import read_runs

Make = Callable[..., Path]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, *folders: Path) -> None:
        super().__init__()
        self.html = run_page(read_runs(folders)).html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def titles(self) -> list[str]:
        """Headings of the charts."""
        return re.findall(r"<h3>([^<]+)</h3>\n<svg", self.html)


def test_a_run_has_its_curves_its_spread_and_its_pairs(make_run: Make) -> None:
    page = Page(make_run())
    assert page.titles == ["Loss", "Margins", "Accuracy", "Rewards: a token"]
    assert "The worst" in page.text
    assert "margin 1" in page.text
    assert "sign flips: 2 % of the weights" in page.text
    assert "1 above 1" in page.text.replace("\n", " ")


def test_what_no_run_has_logged_is_said_and_not_drawn(make_run: Make) -> None:
    page = Page(make_run())
    for said in (
        "Displacement: nothing was logged.",
        "Distance from the reference: nothing was logged (recipe: judging.kl).",
        "Judged score: nothing was logged (recipe: judging.judge).",
        "Evaluation curves: nothing was logged (recipe: data.eval_path",
    ):
        assert said in page.text


def test_what_one_of_several_runs_lacks_is_said_at_the_chart(
    make_run: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    judged = make_run("a", rows=rows(4, **{"judge/greedy": 0.5}))
    page = Page(judged, make_run("b"))
    assert "Judged score" in page.titles
    assert "Not logged by b." in page.text
    assert re.search(r"judge/(<wbr>)?greedy.*?<td>0.5</td><td>\u2013</td>", page.html, re.DOTALL)


def test_several_runs_are_named_by_their_folders_and_their_differences_are_a_table(
    make_run: Make,
) -> None:
    page = Page(make_run("x/seed-0"), make_run("y/seed-0", beta=0.5))
    assert "x/seed-0" in page.text
    assert "y/seed-0" in page.text
    table = page.html.partition("What differs")[2].partition("</table>")[0]
    assert re.findall(r"<td>([^<]*)</td>", table) == ["0.1", "0.5"]


def test_runs_on_other_data_are_said_to_be_so(make_run: Make) -> None:
    one, other = make_run("a"), make_run("b")
    (other / "run.json").write_text(json.dumps({"status": "done", "fingerprints": {"data": "x"}}))
    assert "The runs have different training pairs." in Page(one, other).text


def test_evaluations_of_named_sets_are_lines_of_their_own(
    make_run: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    found = rows(4, eval_loss=0.5, eval_math_loss=0.4, **{"eval_math_rewards/margins": 1.0})
    html = Page(make_run(rows=found)).html
    loss = html.partition("<h3>Loss</h3>")[2].partition("</svg>")[0]
    lines = re.findall(r'<path [^>]*fill="none"[^>]*><title>(evaluation[^<]*)</title>', loss)
    assert lines == ["evaluation", "evaluation math"]


def test_many_rows_are_taken_together_and_said_to_be(
    make_run: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    page = Page(make_run(rows=rows(1000)))
    assert "Each point is the mean of up to 4 log rows." in page.text


def test_a_bad_value_is_not_lost_among_many_rows(
    make_run: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    found = rows(1000)
    found[500]["loss"] = math.nan
    page = Page(make_run(rows=found))
    assert "loss: no finite number in 1 of 1000 rows, first at step 501." in page.text
    assert page.html.partition("<h3>Loss</h3>")[2].partition("</svg>")[0].count('class="gap"') == 1


def test_plain_dpo_is_not_warned_of_being_plain_dpo(make_run: Make) -> None:
    assert "Signs to look at" not in Page(make_run(reward="none")).text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", "{", "run.json cannot be read"),
        ("run.json", "[]", "run.json holds no JSON object"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("plots/tokens.json", '{"num_pairs": 3}', "plots/tokens.json cannot be read"),
        ("plots/tokens.json", "[" * 9000, "plots/tokens.json cannot be read"),
        ("logs/train.jsonl", '{"step": 1, "lo', "The last line of the log"),
    ],
)
def test_a_damaged_file_costs_its_own_part(
    make_run: Make, name: str, content: str, said: str
) -> None:
    folder = make_run()
    (folder / name).write_text(content)
    assert said in Page(folder).text


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "plots/tokens.json"])
def test_a_missing_file_is_said(make_run: Make, name: str) -> None:
    folder = make_run()
    (folder / name).unlink()
    page = Page(folder)
    assert re.search(r"There is no |the run kept none", page.text)
    assert "Loss" in page.titles


def test_nothing_is_loaded_and_nothing_of_the_data_is_markup(make_run: Make) -> None:
    plain, hostile = Page(make_run("plain")), Page(make_run("h", reward=HOSTILE, text=HOSTILE))
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in hostile.html
    names = {name for _, attrs in hostile.tags for name in attrs}
    assert not {n for n in names if n.startswith("on") or n in ("src", "xlink:href", "action")}
    links = {attrs["href"] for _, attrs in hostile.tags if "href" in attrs}
    assert links <= {"#curves", "#spread", "#pairs"}
    assert {tag for tag, _ in hostile.tags} - {tag for tag, _ in plain.tags} <= {"i", "wbr", "br"}
    loads = r"url\(|@import|<link|<script|https?:(?!//www.w3.org/2000/svg)"
    assert not re.search(loads, hostile.html)
    assert HOSTILE in hostile.text


def test_the_summary_is_json_without_nan(
    make_run: Make, rows: Callable[..., list[dict[str, Any]]]
) -> None:
    found = rows(2)
    found[-1]["loss"] = math.nan
    folders = (make_run("a", rows=found), make_run("b", beta=0.5))
    said = json.loads(json.dumps(summary(read_runs(folders)), allow_nan=False))
    assert [run["name"] for run in said["runs"]] == ["a", "b"]
    assert said["runs"][0]["last"]["loss"] is None
    assert said["differences"] == {"loss.beta": {"a": 0.1, "b": 0.5}}
