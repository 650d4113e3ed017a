"""Check a built site: no page asks another host for anything, and search needs no server.

python docs/_site/check_site.py build/site
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Attributes that a browser fetches without being asked; a link to click is not among them.
_FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "embed": ("src",),
}
_FETCHED_LINKS = {
    "stylesheet",
    "preconnect",
    "preload",
    "prefetch",
    "dns-prefetch",
    "icon",
    "manifest",
}
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class _Fetches(HTMLParser):
    """Collects what a page fetches from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of one tag."""
        values = {name: value or "" for name, value in attrs}
        names = _FETCHED.get(tag, ())
        if tag == "link" and _FETCHED_LINKS & set(values.get("rel", "").split()):
            names = ("href",)
        addresses = [values.get(name, "") for name in names]
        addresses += _CSS_URL.findall(values.get("style", ""))
        if "mermaid" in values.get("class", "").split():
            addresses.append("https: mermaid, which the theme fetches")
        self.found += [a for a in addresses if re.match(r"\s*(https?:|//)", a)]


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site, one line each."""
    pages = sorted(site.rglob("*.html"))
    if not pages:
        yield f"{site}: no page"
    for page in pages:
        parser = _Fetches()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{page.relative_to(site)}: fetches {address}" for address in parser.found)
    for sheet in sorted(site.rglob("*.css")):
        for address in _CSS_URL.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)}: fetches {address}"
    index = site / "search" / "search_index.js"
    if not index.is_file():
        yield f"{index.relative_to(site)} is missing: search would need a server"


def main() -> int:
    """Print the faults of the site named on the command line; 1 if there are any."""
    site = Path(sys.argv[1])
    found = list(faults(site))
    print("\n".join(found) or f"{site}: no page fetches anything from another host")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
