"""Files of the repository's root as pages of the site: the same text, links that lead within it."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Page of the site -> the file it is.
ROOT_PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "code-of-conduct.md": "CODE_OF_CONDUCT.md",
    "reference/changelog.md": "CHANGELOG.md",
}
# A link whose text is a file's path: on the site the page's title says more.
_BARE = re.compile(r"\[(docs/[\w/-]+\.md)\]\(\1\)")
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def root_page(uri: str, source: str) -> str:
    """Return the Markdown of a root file, its relative links rewritten for the page `uri`.

    Where the text of a link is the file's path, it becomes the title of the page.

    Raises:
        ValueError: a link leads to a file that is no page of the site.
    """
    text = (ROOT / source).read_text(encoding="utf-8")

    def within_site(match: re.Match[str]) -> str:
        target = page_of(match[1])
        if target is None:
            raise ValueError(f"{source}: {match[1]} is no page of the site; write it as code")
        relative = posixpath.relpath(target, posixpath.dirname(uri) or ".")
        return f"]({relative}{match[2] or ''})"

    return _LINK.sub(within_site, _BARE.sub(lambda m: f"[{_title(m[1])}]({m[1]})", text))


def _title(path: str) -> str:
    """Return the heading of a page."""
    first, _, _ = (ROOT / path).read_text(encoding="utf-8").partition("\n")
    return first.removeprefix("# ")


def page_of(path: str) -> str | None:
    """Return the page that a path of the repository is, or None."""
    for page, source in ROOT_PAGES.items():
        if path == source:
            return page
    inside = path.removeprefix("docs/")
    return inside if inside != path and inside.endswith(".md") else None
