"""Pages that are made and not written: added to the site at every build."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from api_page import api_page
from cli_page import cli_page
from plugins_page import plugins_page
from recipe_page import recipe_page
from root_pages import ROOT_PAGES, root_page

REFERENCE = {
    "reference/cli.md": cli_page,
    "reference/recipe.md": recipe_page,
    "reference/plugins.md": plugins_page,
    "reference/python.md": api_page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root, and those that the code says."""
    for uri, source in ROOT_PAGES.items():
        files.append(File.generated(config, uri, content=root_page(uri, source)))
    for uri, made in REFERENCE.items():
        files.append(File.generated(config, uri, content=made()))
    return files
