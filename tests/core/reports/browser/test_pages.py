"""The browser as files: what they hold, how large they are, what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.reports.browser.numbers import PairSource
from tgdpo_core.reports.browser.pages import require_free, write_pages
from tgdpo_core.scoring.pairs import ScoredPair

Make = Callable[..., ScoredPair]
Source = Callable[..., PairSource]
Take = Callable[[str], tuple[str, Any]]
HOSTILE = "</script><script>alert(1)</script>\u202e\x1b[31m\u2028"


def test_pairs_lie_in_parts_of_a_page_each(
    many: list[ScoredPair], make_source: Source, taken: Take, tmp_path: Path
) -> None:
    written = write_pages(make_source(many), tmp_path, 20)
    parts = [taken((tmp_path / "pairs" / f"{i}.js").read_text()) for i in range(3)]
    assert [(name, len(pairs)) for name, pairs in parts] == [
        ("pairs/0", 20),
        ("pairs/1", 20),
        ("pairs/2", 5),
    ]
    assert [p["where"] for _, pairs in parts for p in pairs] == [p.pair.pair.where for p in many]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.num_parts == 3
    assert written.num_bytes == sum(path.stat().st_size for path in files)


def test_a_pair_has_its_tokens_with_their_numbers(
    scored_pair: Make, make_source: Source, taken: Take, tmp_path: Path
) -> None:
    pair = scored_pair([0.5, 0.0], [-1.0], tokens=(["a\n", ""], ["b"]))
    write_pages(make_source([pair]), tmp_path, 20)
    _, (shown,) = taken((tmp_path / "pairs" / "0.js").read_text())
    chosen, rejected = shown["sides"]
    assert chosen["text"] == [[["a", "text"], ["⏎", "newline"]], [["<1>", "special"]]]
    assert chosen["reward"] == [0.5, 0.0]
    assert chosen["weight"] == [1.25, 1.0]
    assert rejected["reward"] == [-1.0]
    assert (chosen["errors"], chosen["sources"]) == (None, [])


def test_several_rewards_stand_side_by_side(
    scored_pair: Make, make_source: Source, taken: Take, tmp_path: Path
) -> None:
    total, a, b = (scored_pair([x, 0.0], [x]) for x in (3.0, 1.0, 2.0))
    write_pages(make_source([total], {"a": [a], "b": [b]}), tmp_path, 20)
    _, (shown,) = taken((tmp_path / "pairs" / "0.js").read_text())
    assert [side["sources"] for side in shown["sides"]] == [
        [[1.0, 0.0], [2.0, 0.0]],
        [[1.0], [2.0]],
    ]
    html = (tmp_path / "index.html").read_text()
    assert '<option value="disagreement">' in html


def test_columns_are_files_of_their_own(
    many: list[ScoredPair], make_source: Source, taken: Take, tmp_path: Path
) -> None:
    write_pages(make_source(many), tmp_path, 20)
    for path in (tmp_path / "columns").iterdir():
        name, values = taken(path.read_text())
        assert name == f"columns/{path.stem}"
        assert len(values) == 45
    meta = re.search(r'id="meta">(.*?)</script>', (tmp_path / "index.html").read_text())
    assert meta
    assert {f"{name}.js" for name in json.loads(meta[1])["columns"]} | {"signs.js"} == {
        path.name for path in (tmp_path / "columns").iterdir()
    }


def test_nothing_of_the_data_is_markup_and_nothing_is_loaded_from_elsewhere(
    scored_pair: Make, make_source: Source, tmp_path: Path
) -> None:
    pair = scored_pair([1.0], [0.0], tokens=([HOSTILE], [HOSTILE]), prompt=HOSTILE, where=HOSTILE)
    source = make_source([pair], {HOSTILE: [pair], "b": [pair]})
    write_pages(source, tmp_path, 20)
    html = (tmp_path / "index.html").read_text()
    assert re.findall(r"<script[^>]*>", html) == [
        '<script type="application/json" id="meta">',
        '<script src="drawing.js">',
        '<script src="browser.js">',
    ]
    assert "default-src 'none'" in html
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.parent.name in ("pairs", "columns"):
            assert path.read_bytes().isascii()
            assert "\\u202e" not in path.read_text().replace("\\\\u202e", "")
        if path.is_file():
            assert not re.search(r"https?:|@import|url\(|innerHTML|eval\(", path.read_text())


def test_what_an_earlier_browser_left_is_replaced(
    many: list[ScoredPair], make_source: Source, tmp_path: Path
) -> None:
    write_pages(make_source(many), tmp_path, 10)
    require_free(tmp_path)
    write_pages(make_source(many[:3]), tmp_path, 10)
    assert [path.name for path in (tmp_path / "pairs").iterdir()] == ["0.js"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        require_free(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        require_free(tmp_path / "index.html")


def test_rewards_that_are_not_finite_are_null(
    scored_pair: Make, make_source: Source, taken: Take, tmp_path: Path
) -> None:
    pair = scored_pair([float("nan")], [1.0])
    write_pages(make_source([pair]), tmp_path, 20)
    _, (shown,) = taken((tmp_path / "pairs" / "0.js").read_text())
    assert shown["sides"][0]["reward"] == [None]
