"""The pages in a real browser: no script errors, nothing asked of others, keyboard, both widths,
both colour schemes. `make test-browser` runs them; CHROMIUM names the program."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tgdpo_core.data.pairs import PreferencePair, TokenizedPair, TokenizedResponse
from tgdpo_core.reports.browser.content import Browser
from tgdpo_core.reports.browser.numbers import PairSource, pair_numbers
from tgdpo_core.reports.browser.pages import write_pages
from tgdpo_core.reports.browser.server import HOST, application, listening
from tgdpo_core.reports.distribution import Distribution
from tgdpo_core.reports.heatmap import heatmap
from tgdpo_core.reports.heatmap_html import heatmap_html
from tgdpo_core.reports.runs.tokens import TokenSheet, group, sheet_text
from tgdpo_core.scoring.pairs import ScoredPair
from tgdpo_core.training.run_reports import read_runs, write_report

PROGRAM = os.environ.get("TGDPO_CHROMIUM")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="make test-browser")

WIDTHS, SCHEMES = (1200, 400), ("light", "dark")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SHOTS = os.environ.get("TGDPO_SCREENSHOTS")


def response(tokens: list[str]) -> TokenizedResponse:
    ends = np.cumsum([len(token) for token in tokens])
    starts = np.concatenate([[0], ends[:-1]])
    offsets = np.stack([starts, ends], axis=1)
    return TokenizedResponse(np.arange(len(tokens)), offsets, "".join(tokens), len(tokens))


def pair(number: int) -> ScoredPair:
    rng = np.random.default_rng(number)
    words = [
        "the",
        " answer",
        " is",
        "\n",
        " forty",
        "-two",
        " \t",
        HOSTILE if number == 3 else " x",
    ]
    chosen, rejected = (response([*rng.choice(words, int(n)), ""]) for n in rng.integers(5, 60, 2))
    size, cut = len(chosen.ids) + len(rejected.ids), len(chosen.ids)
    rewards = torch.from_numpy(rng.normal(size=size).astype(np.float32))
    weights = torch.cat([1 + rewards[:cut] / 2, 1 - rewards[cut:] / 2])
    prompt = HOSTILE if number == 3 else f"What is {number} times two?"
    row = PreferencePair(prompt, chosen.text, rejected.text, f"pairs.jsonl:{number + 1}")
    tokenized = TokenizedPair(row, np.arange(3), chosen, rejected)
    return ScoredPair(tokenized, -torch.ones(size), rewards, weights, weights)


def marked(pairs: Any) -> Any:
    def mask(ids: Any) -> Any:
        return np.arange(len(ids)) == 2

    return {
        side: np.concatenate([mask(p.response(side).ids) for p in pairs])
        for side in ("chosen", "rejected")
    }


@pytest.fixture(scope="module")
def source() -> PairSource:
    pairs = [pair(i) for i in range(53)]
    sources = [("first", pairs), ("second", [pair(i) for i in range(53)][::-1])]
    # Two rewards of one pair have one length each.
    other = [
        p.__class__(p.pair, p.reference_logps, -p.token_rewards, p.weights, p.weights)
        for p in pairs
    ]
    return PairSource(
        pairs,
        [sources[0], ("second", other)],
        marked,
        lambda i: f"<{i}>",
        [("model", "m")],
        ["sign flips: 2 % of the weights"],
        range(53),
    )


@pytest.fixture(scope="module")
def pages(source: PairSource, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pages")
    write_pages(source, folder, 20)
    return f"file://{folder}/index.html"


@pytest.fixture(scope="module")
def served(source: PairSource) -> Iterator[str]:
    import uvicorn

    app: Any = application(Browser(source, pair_numbers(source), 20))
    sock = listening(0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://{HOST}:{sock.getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a heat map, of the page of one run, and of that of three."""
    folder = tmp_path_factory.mktemp("runs")
    shown = [pair(i) for i in range(4)]
    runs = []
    for number, name in enumerate(("dpo", "tgdpo-with-a-rather-long-name,alpha=0.5", "partial")):
        run = folder / name
        (run / "logs").mkdir(parents=True)
        (run / "plots").mkdir()
        (run / "run.json").write_text('{"status": "done"}')
        lines = [
            f'{{"step": {i}, "epoch": {i / 10}, "loss": {"NaN" if i == 7 else 1 / i}, '
            f'"rewards/margins": {i / 9}, "weighted/margins": {i / 5}, "grad_norm": {number + 1}}}'
            for i in range(1, 40 - 10 * number)
        ]
        (run / "logs" / "train.jsonl").write_text("\n".join(lines) + '\n{"step": 9'[: 3 * number])
        spread = [Distribution(HOSTILE, -1, 1, [1, 2, 3], [3, 2, 1], 0, 4)]
        groups = [group("Worst", "Of 4.", [(p, "margin 1") for p in shown], lambda i: f"<{i}>")]
        (run / "plots" / "tokens.json").write_text(sheet_text(TokenSheet(4, 4, spread, groups)))
        runs.append(run)
    write_report(read_runs(runs[:1]), None)
    write_report(read_runs(runs), folder / "three.html")
    heat = heatmap(shown, facts=[("model", "m")], token_name=lambda i: f"<{i}>", numbers=range(4))
    (folder / "heat.html").write_text(heatmap_html(heat))
    return {
        "run": f"file://{runs[0]}/report.html",
        "runs": f"file://{folder}/three.html",
        "heatmap": f"file://{folder}/heat.html",
    }


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; afterwards there were no errors, and nothing was asked of another host."""
    trouble: list[str] = []
    opened = []

    def open_it(address: str, *, width: int = 1200, scheme: str = "light") -> Any:
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: trouble.append(f"script: {error}"))
        page.on("console", lambda said: trouble.append(f"{said.type}: {said.text}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        own = ("file:", f"http://{HOST}:")
        page.on("request", lambda r: None if r.url.startswith(own) else trouble.append(r.url))
        opened.append(page)
        page.goto(address)
        return page

    yield open_it
    for page in opened:
        page.close()
    assert not trouble


def shoot(page: Any, name: str, width: int, scheme: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)


def until(page: Any, condition: str) -> None:
    """Wait until JavaScript is true; a page that allows no eval is asked from outside."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {condition}")


def first_titles(page: Any) -> list[str]:
    page.wait_for_selector("article")
    return [text.split()[1] for text in page.locator("article h2").all_inner_texts()]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["run", "runs", "heatmap", "pages", "served"])
def test_a_page_fits_its_window_and_says_what_colours_mean(
    open_page: Any, reports: Any, pages: str, served: str, name: str, width: int, scheme: str
) -> None:
    address = {**reports, "pages": pages, "served": served}[name]
    page = open_page(address, width=width, scheme=scheme)
    page.wait_for_selector(".legend .bar >> nth=0", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(18, 20, 24)") == (scheme == "dark")
    assert page.locator("script[src*='x'], img").count() == 0
    shoot(page, name, width, scheme)


@pytest.mark.parametrize("place", ["pages", "served"])
def test_sorting_filtering_and_turning_pages(
    open_page: Any, pages: str, served: str, source: PairSource, place: str
) -> None:
    page = open_page({"pages": pages, "served": served}[place])
    assert first_titles(page) == [str(i) for i in range(20)]
    largest = pair_numbers(source).columns["largest"]
    page.select_option("#sort", "largest")
    page.click("#order")
    expected = [str(i) for i in np.argsort(-largest, kind="stable")]
    until(
        page, f"document.querySelector('article h2').textContent.startsWith('pair {expected[0]}')"
    )
    assert first_titles(page) == expected[:20]
    page.click("#last")
    until(page, "document.querySelectorAll('article').length === 13")
    assert first_titles(page) == expected[40:]
    page.check("input[value=against]")
    against = int((pair_numbers(source).columns["gap"] < 0).sum())
    until(page, f"document.getElementById('place').textContent.includes('{against} of 53')")
    page.fill("#low", "2.5")
    page.press("#low", "Enter")
    until(page, f"!document.getElementById('place').textContent.includes('{against} of 53')")


def test_the_address_keeps_what_is_shown(open_page: Any, pages: str) -> None:
    page = open_page(f"{pages}#sort=disagreement&desc=1&page=2&scale=fixed&reach=2&numbers=1")
    first = first_titles(page)
    assert page.input_value("#sort") == "disagreement"
    assert page.input_value("#reach") == "2"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.t'), '::after').content") != "none"
    )
    assert first_titles(open_page(page.url)) == first


def test_nonsense_in_the_address_is_the_start(open_page: Any, pages: str) -> None:
    page = open_page(f"{pages}#sort=<img src=x>&page=-3&scale=x&reach=abc&filter=a,b&low=zz")
    page.wait_for_selector("#place:not(:empty)")
    assert page.input_value("#sort") == "number"


def test_keys_turn_pages_walk_pairs_and_change_colours(open_page: Any, pages: str) -> None:
    page = open_page(pages)
    page.wait_for_selector("article")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('article h2').textContent.startsWith('pair 20')")
    page.keyboard.press("j")
    page.keyboard.press("j")
    focused = "document.activeElement.closest('article').querySelector('h2').textContent"
    assert page.evaluate(focused).startswith("pair 21")
    page.keyboard.press("c")
    page.keyboard.press("c")
    assert page.input_value("#scale") == "fixed"
    page.keyboard.press("n")
    until(page, "document.getElementById('numbers').checked")
    page.fill("#go", "47")
    page.press("#go", "Enter")
    until(
        page,
        "document.activeElement.closest('article')?"
        ".querySelector('h2').textContent.startsWith('pair 47')",
    )


def test_every_control_is_reached_by_tab_and_has_a_name(open_page: Any, pages: str) -> None:
    page = open_page(pages)
    page.wait_for_selector("article")
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.value"))
    assert {"sort", "order", "low", "high", "scale", "numbers", "next", "last", "go"} <= reached
    named = page.evaluate(
        "[...document.querySelectorAll('button, select, input')].every((e) => "
        "e.labels?.length || e.getAttribute('aria-label'))"
    )
    assert named


def test_the_fixed_scale_changes_colours_and_not_numbers(open_page: Any, reports: Any) -> None:
    page = open_page(reports["heatmap"])
    colour = "getComputedStyle(document.querySelector('.t.fp8')).backgroundColor"
    weak = (
        "[...document.querySelectorAll('.t')]"
        ".filter((e) => getComputedStyle(e).backgroundColor.includes('0.66')).length"
    )
    before, count = page.evaluate(colour), page.evaluate(weak)
    page.check("#fixed")
    assert page.evaluate(weak) != count or page.evaluate(colour) != before
    assert page.locator(".fixed-scale >> nth=0").inner_text().split()[-1] == "1"


def test_text_of_the_data_stays_text(open_page: Any, pages: str) -> None:
    page = open_page(pages)
    page.wait_for_selector("article")
    assert HOSTILE in page.locator("article .prompt").nth(3).inner_text()


def test_a_lost_file_is_said_on_the_page(
    open_page: Any, source: PairSource, tmp_path: Path, chromium: Any
) -> None:
    write_pages(source, tmp_path, 20)
    (tmp_path / "pairs" / "1.js").unlink()
    page = chromium.new_page()
    page.goto(f"file://{tmp_path}/index.html#page=2")
    page.wait_for_selector(".problem >> text=pairs/1.js cannot be loaded")
    page.close()
