"""Pages of the site that are made and not written, by their name."""

from api_page import api_page
from cli_page import cli_page
from notebook_pages import NOTEBOOK_PAGES, notebook_page
from plugins_page import plugins_page
from recipe_page import recipe_page
from root_pages import ROOT_PAGES, root_page


def made_pages() -> dict[str, str]:
    """Return page to Markdown: the files of the repository's root, and what the code says."""
    return {
        **{uri: root_page(uri, source) for uri, source in ROOT_PAGES.items()},
        **{uri: notebook_page(name) for uri, name in NOTEBOOK_PAGES.items()},
        "reference/cli.md": cli_page(),
        "reference/recipe.md": recipe_page(),
        "reference/plugins.md": plugins_page(),
        "reference/python.md": api_page(),
    }
