"""The token browser as a folder of files, to be opened or put on a web server."""

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from tgdpo_core.environment_secrets import without_secrets
from tgdpo_core.errors import UsageError
from tgdpo_core.reports.browser.content import SCRIPTS, Browser, part_script, script
from tgdpo_core.reports.browser.numbers import PairSource, Seen, pair_numbers

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


@dataclass(frozen=True)
class Written:
    """How much was written: parts of the pairs, and bytes of all files."""

    num_parts: int
    num_bytes: int


def write_pages(pairs: PairSource, folder: Path, per_part: int) -> Written:
    """Write all files, index.html last.

    Args:
        pairs: each is read once, and forgotten when its part is written.
        folder: is made; what an earlier browser left is replaced.
        per_part: pairs of a page, and of a file.

    Raises:
        UsageError: the folder cannot be written.
    """
    sizes: list[int] = []
    numbers = itertools.count()

    def write(name: str, text: str) -> None:
        sizes.append((folder / name).write_bytes(without_secrets(text).encode("utf-8")))

    def write_parts(seen: list[Seen]) -> None:
        for start in range(0, len(seen), per_part):
            number = next(numbers)
            part = part_script(pairs, number, seen[start : start + per_part])
            write(f"pairs/{number}.js", part)

    try:
        (folder / INDEX).unlink(missing_ok=True)
        for name in ("columns", "pairs"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        for name in SCRIPTS:  # the first files: they say whose folder it is
            write(name, script(name))
        found = pair_numbers(pairs, per_part=per_part, observe=write_parts)
        browser = Browser(pairs, found, per_part)
        for name in browser.columns:
            write(f"columns/{name}.js", browser.column(name))
        write(INDEX, browser.page(_POLICY))
    except OSError as error:
        raise UsageError(f"--pages {folder}: cannot be written: {error}") from error
    return Written(browser.num_parts, sum(sizes))
