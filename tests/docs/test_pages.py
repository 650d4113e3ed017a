"""The pages of the site, without building it: navigation, links, anchors, pages that are made."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Every page of the site by name: its Markdown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "_site"))
        patch.setenv("TGDPO_LOAD_PLUGINS", "")
        from made_pages import made_pages

        made = made_pages()
    written = {
        path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
        for path in DOCS.rglob("*.md")
        if "_site" not in path.parts
    }
    assert not written.keys() & made.keys()
    return written | made


def in_navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from in_navigation(value) if isinstance(value, list) else [value]


@cache
def anchors(text: str) -> set[str]:
    """Return the anchors of a page, as Python-Markdown and mkdocstrings make them."""
    tokens = MarkdownIt().enable("table").parse(text)
    found = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            title = "".join(t.content for t in inline.children or () if t.type != "html_inline")
            slug = re.sub(r"[^\w\s-]", "", title.encode("ascii", "ignore").decode()).strip()
            found.add(re.sub(r"[-\s]+", "-", slug.lower()))
    return found


@cache
def targets(text: str) -> list[str]:
    """Return where a page's links and pictures lead, but for other sites."""
    found = []
    text = re.sub(r"^</?div.*>$", "", text, flags=re.MULTILINE)
    for token in MarkdownIt().enable("table").parse(text):
        for child in token.children or ():
            target = unquote(str(child.attrs.get("href") or child.attrs.get("src") or ""))
            if target and not re.match(r"[a-z]+:", target):
                found.append(target)
    return found


def broken_links(pages: dict[str, str]) -> list[str]:
    found = []
    for page, text in pages.items():
        for target in targets(text):
            path, _, anchor = target.partition("#")
            other = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            other = page if not path else other
            is_file = other in pages or (DOCS / other).is_file()
            if not is_file or (anchor and anchor not in anchors(pages.get(other, ""))):
                found.append(f"{page}: {target}")
    return found


def test_every_page_is_in_the_navigation_once(pages: dict[str, str]) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(in_navigation(settings["nav"])) == sorted(pages)


def test_every_link_and_anchor_leads_somewhere(pages: dict[str, str]) -> None:
    assert broken_links(pages) == []


_RUN = 12  # words: shorter ones are turns of phrase


def repeated(text: str) -> list[str]:
    """Return the runs of words that a page says twice, as after two versions were joined.

    Code, tables and what is bold, such as a finding that is said again, are left out.
    """
    prose = re.sub(r"^```.*?^```|\*\*.*?\*\*", "", text, flags=re.DOTALL | re.MULTILINE)
    words = re.sub(r"^(?: {4}|<|\|).*$", "", prose, flags=re.MULTILINE).split()
    runs = [" ".join(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)]
    return sorted(run for run, number in Counter(runs).items() if number > 1)


def test_no_written_page_says_anything_twice() -> None:
    written = [*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md"), ROOT / "README.md"]
    found = {page.name: repeated(page.read_text(encoding="utf-8")) for page in written}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_what_stands_twice_is_found() -> None:
    line = "A sentence that is long enough was surely not meant to stand twice."
    assert len(line.split()) == 13
    assert len(repeated(f"Before. {line} Between.\n\nAnd {line} After.\n")) == 2
    assert repeated(f"{line}\n\n```\n{line}\n```\n") == []


def test_the_contents_of_the_plugin_page_are_its_chapters(pages: dict[str, str]) -> None:
    before, _, _ = pages["plugins.md"].partition("\n## ")
    listed = [t.removeprefix("#") for t in targets(before) if t.startswith("#")]
    chapters = re.findall(r"^## (.+)$", pages["plugins.md"], re.MULTILINE)
    assert listed == [next(iter(anchors(f"## {title}"))) for title in chapters]


@pytest.mark.parametrize("target", ["nowhere.md", "data.md#nothing", "#nothing", "assets/no.svg"])
def test_a_link_that_leads_nowhere_is_found(target: str, pages: dict[str, str]) -> None:
    assert broken_links({**pages, "new.md": f"[x]({target})"}) == [f"new.md: {target}"]


def test_every_command_option_and_recipe_key_is_in_the_reference(pages: dict[str, str]) -> None:
    from cli_page import commands
    from recipe_page import recipe_keys

    for command, ctx in commands():
        assert f"# {ctx.command_path}\n" in pages["reference/cli.md"]
        for option in (name for parameter in command.params for name in parameter.opts):
            assert option.removeprefix("--") in pages["reference/cli.md"].lower(), option
    for key in recipe_keys():
        assert f"`{key}`" in pages["reference/recipe.md"]
    assert "data.max_shares.truncated" in recipe_keys()
    assert "reward[].transforms[].name" in recipe_keys()


def test_every_registered_plugin_is_in_the_reference(pages: dict[str, str]) -> None:
    from tgdpo_core.plugin_api.manager import PluginManager

    for item in PluginManager():
        assert f"### `{item.name}`" in pages["reference/plugins.md"]


def test_every_public_name_is_in_the_reference(pages: dict[str, str]) -> None:
    import tgdpo_core

    for name in tgdpo_core.__all__:
        assert f"{tgdpo_core._HOME[name]}.{name}\n" in pages["reference/python.md"]


def test_a_link_by_its_path_has_the_title_of_its_page() -> None:
    from root_pages import root_page

    page = root_page("index.md", "README.md")
    assert "[Data](data.md)" in page
    assert "[docs/" not in page


def test_a_root_page_may_not_link_to_a_file_outside_the_site(tmp_path: Path) -> None:
    import root_pages

    (tmp_path / "README.md").write_text("[x](Makefile)", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(root_pages, "ROOT", tmp_path)
        with pytest.raises(ValueError, match="Makefile is no page of the site"):
            root_pages.root_page("index.md", "README.md")


@pytest.mark.parametrize(
    ("html", "is_fault"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', True),
        ('<img src="https://example.org/badge.svg">', True),
        ('<div class="mermaid">a</div>', True),
        ('<p style="background: url(https://example.org/a.png)">', True),
        ('<a href="https://example.org">a link to click</a>', False),
        ('<img src="assets/pair.svg"><script src="x.js"></script>', False),
    ],
)
def test_a_page_that_asks_another_host_is_a_fault(
    html: str, is_fault: bool, tmp_path: Path
) -> None:
    from check_site import faults

    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search_index.js").touch()
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    assert bool(list(faults(tmp_path))) == is_fault
