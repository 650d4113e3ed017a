"""What of a plugin's code is in the key of the store: all it imports, its version, or its word."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api import hookspecs
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.source_document import source_document
from tgdpo_core.scoring.sources import find_source
from tgdpo_core.store.folder import canonical_hash

REWARD = """
from tgdpo_core import TokenReward, hookimpl
from acme_prm import helper

class Prm(TokenReward):
    "A reward."
    {line}
    def score(self, batch):
        from acme_prm.deep.steps import split
        return [[0.0] * len(e.response_ids) for e in batch]

@hookimpl
def register_token_rewards(register):
    register("prm", Prm)
"""
Write = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes the package acme_prm and returns its folder."""
    monkeypatch.syspath_prepend(tmp_path)
    # Compiled files go by size and second: two texts of one length would be taken for each other.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(*, line: str = "", url: str | None = '{"dir_info": {"editable": true}}') -> Path:
        folder = tmp_path / "acme_prm"
        (folder / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(textwrap.dedent(REWARD).format(line=line))
        (folder / "helper.py").write_text("SIZE = 1\n")
        (folder / "deep" / "__init__.py").write_text("")
        (folder / "deep" / "steps.py").write_text("def split(text):\n    return [text]\n")
        (folder / "unused.py").write_text("X = 1\n")
        info = tmp_path / "acme_prm-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-prm\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[tgdpo]\nmain = acme_prm\n")
        (info / "INSTALLER").write_text("pip\n")
        if url:
            (info / "direct_url.json").write_text(url)
        return folder

    return write


def key() -> str:
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_prm"]:
        del sys.modules[name]
    return canonical_hash(source_document(find_source(PluginManager(env={}), "prm")))


CHANGES = {
    "a helper": ("helper.py", "SIZE = 2\n", True),
    "what is imported inside a function": (
        "deep/steps.py",
        "def split(text):\n    return []\n",
        True,
    ),
    "the package around it": ("deep/__init__.py", "X = 2\n", True),
    "a comment": ("helper.py", "# a size\nSIZE = 1  # one\n\n", False),
    "a file that is not imported": ("unused.py", "X = 2\n", False),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("url", ['{"dir_info": {"editable": true}}', '{"dir_info": {}}'])
def test_local_code_is_every_file_that_is_imported(package: Write, change: str, url: str) -> None:
    folder = package(url=url)
    before = key()
    name, text, moves = CHANGES[change]
    (folder / name).write_text(text)
    assert (key() != before) is moves


def test_a_released_version_is_its_version(package: Write) -> None:
    folder = package(url=None)
    before = key()
    (folder / "helper.py").write_text("SIZE = 2\n")
    assert key() == before
    info = folder.parent / "acme_prm-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-prm\nVersion: 1.1\n")
    assert key() != before


def test_what_the_author_declares_stands_for_the_code(package: Write) -> None:
    folder = package(line='store_identity = "2026-01"')
    before = key()
    (folder / "helper.py").write_text("SIZE = 2\n")
    assert key() == before
    package(line='store_identity = "2026-02"')
    assert key() != before


def test_what_is_declared_must_be_text(package: Write) -> None:
    package(line="store_identity = 3")
    with pytest.raises(PluginError, match=r"Prm\.store_identity is 3; it must be text"):
        key()


def test_the_files_are_named_in_the_key(package: Write) -> None:
    package()
    key()
    found = find_source(PluginManager(env={}), "prm").identity["source"]
    assert set(found) == {
        *("acme_prm/__init__.py", "acme_prm/helper.py"),
        *("acme_prm/deep/__init__.py", "acme_prm/deep/steps.py"),
    }


# -- the interface --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "works"),
    [("1", True), ("2", True), ("3", False), ("(1, 2)", True), ("(2, 9)", True), ("(3, 4)", False)],
)
def test_an_interface_works_for_one_cycle_after_its_successor(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    declared: str,
    works: bool,
) -> None:
    monkeypatch.setattr(hookspecs, "API_VERSION", 2)
    file = tmp_path / "mine.py"
    file.write_text(f"TGDPO_API = {declared}\n" + textwrap.dedent(HOOK))
    plugins = PluginManager(files=[file], env={"TGDPO_LOAD_PLUGINS": ""})
    assert plugins.has("token-reward", "one") is works
    assert ("which works in this cycle of tgdpo and not in the next" in caplog.text) == (
        declared == "1"
    )
    if not works:
        assert "this tgdpo has API 1 to 2" in str(plugins.broken[0])


HOOK = """
from tgdpo_core import hookimpl
@hookimpl
def register_token_rewards(register):
    register("one", lambda example: [1.0] * len(example.response_ids))
"""


@pytest.mark.parametrize("declared", ["'1'", "(2, 1)", "(1, 2, 3)", "None"])
def test_an_interface_that_is_no_number_is_refused(tmp_path: Path, declared: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"TGDPO_API = {declared}\n")
    (broken,) = PluginManager(files=[file], env={"TGDPO_LOAD_PLUGINS": ""}).broken
    assert "it must be a number, or the first and the last one" in str(broken)
