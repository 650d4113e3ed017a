"""report.html of an ablation: complete, safe, self-contained."""

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest

from tgdpo_core.experiments.looks import INK
from tgdpo_core.experiments.results import write_results

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
# What makes a browser load something, where its value does not stay within the page.
LOADING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset", "background"}
EMPTY_TAGS = {"meta", "br", "wbr", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(ablation: Any) -> tuple[Page, str]:
    write_results(ablation.folder)
    html = (ablation.folder / "report.html").read_text(encoding="utf-8")
    return Page(html), html


@pytest.fixture
def hostile(ablation: Any) -> Any:
    """Names, settings, messages, versions and a grid that try to break out of their place."""
    (ablation.folder / "ablation.yaml").write_text(f"name: '{HOSTILE}</pre>'\n")
    for seed in range(2):
        ablation.judged("dpo", [0.3, 0.5], seed, kl=[0, 1])
        run = ablation.judged(
            HOSTILE, [0.3, 0.6], seed, kl=[0, 1], variant=HOSTILE, settings={"alpha": HOSTILE}
        )
    (run / "run.json").write_text(json.dumps({"status": "done", "versions": {"torch": HOSTILE}}))
    failed = ablation.add(HOSTILE, 7)
    failed.mkdir(parents=True)
    (failed / "error.txt").write_text(f"{HOSTILE}\N{RIGHT-TO-LEFT OVERRIDE}\x1b[2J\n")
    return ablation


def test_what_comes_from_outside_is_text(hostile: Any) -> None:
    found, html = page(hostile)
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]
    assert found.text.count(HOSTILE) > 5
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in html
    assert "\\u202e\\x1b[2J" in found.text


def test_nothing_is_loaded(hostile: Any) -> None:
    found, html = page(hostile)
    policies = [a["content"] for _, a in found.tags if a.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        for name in LOADING & attributes.keys():
            # "./": the page of a run, in the same folder; a link loads nothing by itself.
            places = ("#", "./") if tag == "a" else ("#",)
            assert str(attributes[name]).startswith(places), (tag, name, attributes[name])
    assert "@import" not in html
    assert html.count("url(") == html.count("url(#")


def test_the_page_holds_what_was_found(ablation: Any) -> None:
    for seed in range(3):
        ablation.judged("dpo", [0.3, 0.5], seed, settings={"reward": "none", "beta": 0.1})
        ablation.judged("tgdpo", [0.3, 0.7], seed, settings={"alpha": 0.5, "beta": 0.1})
    ablation.add("tgdpo", 3)
    results = write_results(ablation.folder)
    found, html = page(ablation)
    for sentence in (*results.findings, *results.notes):
        assert sentence in found.text
    assert "<code>tgdpo ablate --config ablation.yaml</code>" in html
    for table in (results.table, *results.further_tables()):
        assert table.title in found.text
        for row in table.rows:
            for text in row:
                assert text.replace(" [", "[") in found.text
    assert "Above at the end: tgdpo (+0.200" in found.text
    assert "seeds: 2" in found.text  # ablation.yaml
    assert "Ran with: tgdpo 0.1.0." in found.text
    assert '<tr class="better">' in html
    assert html.count("<svg") == len(list((ablation.folder / "plots").glob("*.svg")))


def test_the_head_says_what_ablation_it_is(ablation: Any) -> None:
    run = ablation.judged("dpo", [0.3, 0.5])
    (run / "config.yaml").write_text("model: {name_or_path: my/model}\ndata: {path: my-pairs}\n")
    record = {"status": "done", "finished": "2026-03-04T05:06:07+00:00"}
    (run / "run.json").write_text(json.dumps(record))
    ablation.add("dpo", 1)
    found, html = page(ablation)
    assert "<h1>Ablation ablation</h1>" in html
    said = "model: my/model · data: my-pairs · runs: 1 of 2 finished · finished: 2026-03-04"
    assert said in found.text


@pytest.mark.parametrize("config", ["", "[]", "model: 3\ndata: x\n", "{", "\x00"])
def test_a_head_without_a_readable_recipe_is_shorter(ablation: Any, config: str) -> None:
    run = ablation.judged("dpo", [0.3, 0.5])
    (run / "config.yaml").write_text(config)
    found, _ = page(ablation)
    assert "runs: 1 of 1 finished" in found.text
    assert "model:" not in found.text


def test_every_run_with_a_page_is_linked(ablation: Any) -> None:
    runs = [ablation.judged(name, [0.3, 0.5], seed) for name in ("dpo", HOSTILE) for seed in (0, 1)]
    odd = ablation.folder / "cells" / "a b#?" / "seed-7"
    ablation.judged("odd", [0.3, 0.5], 7, folder="cells/a b#?/seed-7")
    for run in (*runs[:3], odd):
        (run / "report.html").write_text("")
    found, _ = page(ablation)
    links = [a["href"] for tag, a in found.tags if tag == "a"]
    reached = [ablation.folder / unquote(str(link)) for link in links]
    assert reached == [run / "report.html" for run in (*runs[:3], odd)]
    assert "dpo: seed 0, seed 1" in found.text


def test_numbers_stand_right_and_words_left(ablation: Any) -> None:
    for name in ("dpo", "tgdpo"):
        ablation.judged(name, [0.3, 0.5], settings={"reward": "none", "beta": 0.1})
    found, html = page(ablation)
    heads = {a.get("class") for tag, a in found.tags if tag == "th" and a.get("scope") == "col"}
    assert heads == {"n", None}
    assert '<th scope="col" class="n">end: judge,<wbr> sampled</th>' in html
    assert '<th scope="col">compared with</th>' in html


def test_an_interval_is_promised_only_where_there_is_one(ablation: Any) -> None:
    for name in ("dpo", "tgdpo"):
        ablation.judged(name, [0.3, 0.5])
    assert "Mean over seeds of the paired difference; of one seed there is no interval." in (
        page(ablation)[0].text
    )
    for name in ("dpo", "tgdpo"):
        ablation.judged(name, [0.3, 0.6], 1)
    assert "paired difference, with its 95 % bootstrap interval." in page(ablation)[0].text


def test_plots_in_the_page_have_its_text_colour_and_files_have_their_own(ablation: Any) -> None:
    ablation.judged("dpo", [0.3, 0.5])
    _, html = page(ablation)
    assert INK not in html
    assert "currentColor" in html
    assert INK in (ablation.folder / "plots" / "metric.svg").read_text()


def test_cells_without_lines_are_counted(ablation: Any) -> None:
    for number in range(12):
        ablation.judged(f"tgdpo,alpha={number}", [0.3, 0.5], baseline=None)
    found, _ = page(ablation)
    assert "11\nfurther cells are in the tables" in found.text


@pytest.mark.parametrize("planned", [False, True])
def test_without_results_the_page_says_so(ablation: Any, planned: bool) -> None:
    if planned:
        ablation.add("dpo")
    found, html = page(ablation)
    assert "No run of this ablation is finished yet." in found.text
    assert ("not run" in found.text) is planned
    assert "<svg" not in html
