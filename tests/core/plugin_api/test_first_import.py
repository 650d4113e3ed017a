"""A look at a module right after its first import, before its importer changes anything."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tgdpo_core.plugin_api.first_import import looked_at

NAME = "looked_at_first"


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, NAME, raising=False)


def change() -> None:
    __import__(NAME)
    sys.modules[NAME].value = 2  # type: ignore[attr-defined]


def test_the_look_comes_before_what_the_importer_does() -> None:
    seen: list[int] = []

    def look(module: ModuleType) -> None:
        seen.append(module.value)

    finders = list(sys.meta_path)
    with looked_at(NAME, look), looked_at(NAME, look):
        change()
    assert seen == [1, 1]
    assert sys.meta_path == finders
    with looked_at(NAME, look):
        assert seen == [1, 1, 2]


def test_without_an_import_nothing_is_looked_at() -> None:
    seen: list[ModuleType] = []
    finders = list(sys.meta_path)
    with looked_at(NAME, seen.append), pytest.raises(ModuleNotFoundError):
        __import__("no_such_module")
    assert sys.meta_path == finders
    change()
    assert seen == []


def test_a_module_that_is_not_there_is_still_missing() -> None:
    with looked_at("no_such_module", print), pytest.raises(ModuleNotFoundError):
        __import__("no_such_module")
