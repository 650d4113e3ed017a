"""Commands of every page: the command line reads each as it stands there, `make` has its target."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

Read = Callable[[list[str]], click.Context]
ROOT = Path(__file__).parents[2]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
]
_FENCED = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"\.(?:jsonl?|ya?ml|py)$")
_INDENTED = re.compile(r"(?:^(?:    .*)?\n)+", re.MULTILINE)

pytestmark = pytest.mark.checkout


def blocks(text: str) -> Iterator[str]:
    """Yield the blocks of commands, fenced and indented."""
    yield from _FENCED.findall(text)
    for block in _INDENTED.findall(
        re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    ):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)


def lines_of(text: str, name: str) -> list[str]:
    """Return the lines that call a program, continuation lines joined."""
    lines = [
        re.sub(r"^\s*(?:[A-Z_]+=\S*\s+)*(?:\.venv/bin/)?", "", line)
        for block in blocks(text)
        for line in re.sub(r"\\\n\s*", " ", block).splitlines()
    ]
    return [line for line in lines if line.startswith(f"{name} ") and f"{name} >" not in line]


COMMANDS = [
    pytest.param(line, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, line in enumerate(lines_of(page.read_text(encoding="utf-8"), "tgdpo"), 1)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_line_reads_a_command_of_a_page(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.split(" | ")[0], comments=True)
    for given in words[1:]:
        if _FILE.search(given) and not given.startswith("-") and "=" not in given:
            (tmp_path / given).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / given).touch()
    for given in re.findall(r"--include-path (\S+)", line):
        (tmp_path / given).mkdir()
    words = [word for word in words if word != "..."]
    try:
        assert read(words[1:]).command_path.startswith("tgdpo")
    except click.MissingParameter:
        assert "..." in line, "only a command that says `...` may leave out what is needed"


def test_every_page_with_commands_is_looked_at() -> None:
    assert len(COMMANDS) > 80


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_make_has_the_targets_that_a_page_names(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {line.split()[1] for line in lines_of(page.read_text(encoding="utf-8"), "make")}
    assert named <= targets


@pytest.mark.parametrize(
    "text",
    ["```bash\ntgdpo trian x\n```\n", "Text:\n\n    tgdpo train --lr 1 \\\n        --beta 2\n"],
)
def test_a_command_that_does_not_exist_is_found(text: str, read: Read) -> None:
    (line,) = lines_of(text, "tgdpo")
    with pytest.raises(click.UsageError):
        read(shlex.split(line)[1:])
