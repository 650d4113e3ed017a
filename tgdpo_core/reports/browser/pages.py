"""The token browser as a folder of files, to be opened or put on a web server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import UsageError
from tgdpo_core.reports.browser.content import SCRIPTS, Browser, script

INDEX = "index.html"
_POLICY = "'self' file:"  # opened as files, pages have no origin of their own everywhere
_OURS = 'content="tgdpo inspect"'
_HEAD = 1000


def require_free(folder: Path) -> None:
    """Make sure that pages may be written to a folder, before any work is done.

    Raises:
        UsageError: it holds something else than an earlier browser.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--pages {folder} is a file: name a folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    index = folder / INDEX
    begins = index.read_text(encoding="utf-8", errors="replace")[:_HEAD] if index.is_file() else ""
    if _OURS not in begins and not (folder / SCRIPTS[-1]).is_file():
        raise UsageError(f"--pages {folder} holds other files. Choose a new or empty folder.")


def write_pages(browser: Browser, folder: Path) -> int:
    """Write all files, index.html last, and return their size in bytes.

    Raises:
        UsageError: the folder cannot be written.
    """
    size = 0
    try:
        (folder / INDEX).unlink(missing_ok=True)
        for name in ("columns", "pairs"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        for name, text in _files(browser):
            data = without_secrets(text).encode("utf-8")
            (folder / name).write_bytes(data)
            size += len(data)
    except OSError as error:
        raise UsageError(f"--pages {folder}: cannot be written: {error}") from error
    return size


def _files(browser: Browser) -> Iterator[tuple[str, str]]:
    yield from ((name, script(name)) for name in SCRIPTS)
    for name in browser.columns:
        yield f"columns/{name}.js", browser.column(name)
    for number in tqdm(range(browser.num_parts), unit="page", desc="writing pages"):
        yield f"pairs/{number}.js", browser.part(number)
    yield INDEX, browser.page(_POLICY)
