"""A plugin's module, and the kit itself, are imported without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.testing.light_import import heavy_imports


@pytest.mark.parametrize(
    ("line", "heavy"),
    [("import torch", ["torch"]), ("def f():\n    import torch", []), ("import math", [])],
)
def test_torch_at_the_top_of_a_plugin_file_is_seen(
    tmp_path: Path, line: str, heavy: list[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        f"{line}\nfrom tgdpo_core import hookimpl\n"
        "@hookimpl\ndef register_token_rewards(register):\n"
        "    register('mine', lambda example: [0.0] * len(example.response_ids))\n"
    )
    (item,) = [i for i in PluginManager(files=[file], env={}) if i.name == "mine"]
    assert heavy_imports(item.module) == heavy


def test_torch_at_the_top_of_an_installed_package_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "heavy_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "reward.py").write_text("from heavy_package import loading\n")
    (package / "loading.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert heavy_imports("heavy_package.reward") == ["torch"]
    assert heavy_imports("heavy_package") == []


def test_a_module_that_only_this_process_has_is_named() -> None:
    with pytest.raises(AssertionError, match="no_such_module cannot be imported in a new process"):
        heavy_imports("no_such_module")


def test_the_kit_loads_neither_torch_nor_pytest() -> None:
    code = (
        "import sys, tgdpo_core.testing\n"
        "print({'torch', 'transformers', 'pytest', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
