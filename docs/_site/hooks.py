"""What mkdocs calls while it builds the site."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from made_pages import made_pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made and not written."""
    for uri, text in made_pages().items():
        files.append(File.generated(config, uri, content=text))
    return files
