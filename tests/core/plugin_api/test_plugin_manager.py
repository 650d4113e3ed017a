"""Plugins are loaded one by one; a bad one is a record, and stops nothing else."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.manager import PluginManager

GOOD = """
    from tgdpo_core import TokenReward, hookimpl, option

    class {cls}(TokenReward):
        "A reward of {dist}."
        size: float = option(1.0, help="size")
        def score(self, batch):
            return [[self.size] * len(e.response_ids) for e in batch]

    @hookimpl
    def register_token_rewards(register):
        register("{name}", {cls})
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A function that puts a distribution with one entry point on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(dist: str, source: str) -> None:
        module = dist.replace("-", "_") + "_module"
        sys.modules.pop(module, None)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[tgdpo]\nmain = {module}\n")

    return make


def good(dist: str, name: str = "caps") -> str:
    return GOOD.format(cls="Reward", dist=dist, name=name)


def test_a_third_partys_reward_is_found_with_its_origin(install: Install) -> None:
    install("tgdpo-reward-caps", good("caps"))
    found = PluginManager(env={}).find("token-reward", "caps")
    assert (found.origin, found.summary) == ("tgdpo-reward-caps 1.2", "A reward of caps.")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "from tgdpo_core import hookimpl\n@hookimpl\ndef register_token_reward(register): ...",
            "unknown hook 'register_token_reward'. Did you mean 'register_token_rewards'",
        ),
        ("TGDPO_API = 2", "it needs plugin API 2; this tgdpo has API 1"),
        (good("x", "none"), "'none' is already registered by tgdpo"),
        (good("x", "Bad_Name"), "use a-z, 0-9 and '-'"),
    ],
    ids=["import", "misspelt hook", "api", "built-in name", "bad name"],
)
def test_a_broken_plugin_is_a_record_and_the_others_work(
    install: Install, source: str, reason: str
) -> None:
    install("a-broken-one", source)
    install("tgdpo-reward-caps", good("caps"))
    plugins = PluginManager(env={})
    (broken,) = plugins.broken
    assert "a-broken-one:main 1.2 could not be loaded" in str(broken)
    assert reason in str(broken)
    assert plugins.has("token-reward", "caps")
    assert plugins.find("token-reward", "none").distribution == "tgdpo"
    with pytest.raises(PluginError, match="a-broken-one"):
        plugins.find("token-reward", "missing")


def test_a_strict_manager_raises_on_a_broken_plugin(install: Install) -> None:
    install("a-broken-one", "1 / 0")
    with pytest.raises(PluginError, match=r"a-broken-one:main could not be loaded"):
        PluginManager(env={"TGDPO_STRICT_PLUGINS": "1"})


def test_a_plugin_that_fails_halfway_leaves_nothing_behind(install: Install) -> None:
    source = good("x") + "\n    @hookimpl\n    def register_shapings(register):\n        1 / 0\n"
    install("a-broken-one", source)
    plugins = PluginManager(env={})
    assert not plugins.has("token-reward", "caps")


def test_two_distributions_with_one_name_must_be_told_apart(install: Install) -> None:
    install("tgdpo-first", good("first"))
    install("tgdpo-second", good("second"))
    plugins = PluginManager(env={})
    with pytest.raises(PluginError, match="tgdpo-first:caps or tgdpo-second:caps"):
        plugins.find("token-reward", "caps")
    assert plugins.find("token-reward", "tgdpo_second:caps").summary == "A reward of second."


@pytest.mark.parametrize(
    ("value", "loaded"), [(None, True), ("", False), ("other", False), ("TGDPO.reward_caps", True)]
)
def test_the_environment_says_which_distributions_are_loaded(
    install: Install, value: str | None, loaded: bool
) -> None:
    install("tgdpo-reward-caps", good("caps"))
    env = {} if value is None else {"TGDPO_LOAD_PLUGINS": value}
    plugins = PluginManager(env=env)
    assert plugins.has("token-reward", "caps") is loaded
    assert plugins.has("token-reward", "induced"), "built-ins are always there"


def test_the_first_line_of_a_docstring_is_shown_without_restructured_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from tgdpo_core import hookimpl\n"
        "def size(example):\n"
        "    'Plus ``size`` for every token.'\n"
        "    return [1.0] * len(example.response_ids)\n"
        "@hookimpl\n"
        "def register_token_rewards(register):\n"
        "    register('size', size)\n"
    )
    found = PluginManager(files=[file], env={}).find("token-reward", "size")
    assert found.summary == "Plus `size` for every token."


def test_a_file_with_a_plain_function_is_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from tgdpo_core import hookimpl\n"
        "def shorter(example):\n"
        "    'Minus one for every token.'\n"
        "    return [-1.0] * len(example.response_ids)\n"
        "@hookimpl\n"
        "def register_token_rewards(register):\n"
        "    register('shorter', shorter)\n"
    )
    found = PluginManager(files=[file], env={}).find("token-reward", "shorter")
    assert found.summary == "Minus one for every token."
    assert str(file) in found.origin


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(PluginError, match=r"Unknown shaping 'linaer'. Did you mean 'linear'"):
        PluginManager(env={"TGDPO_LOAD_PLUGINS": ""}).find("shaping", "linaer")


def test_a_data_set_that_cannot_be_made_is_named(install: Install) -> None:
    source = """
        import asyncio
        from tgdpo_core import hookimpl
        from tgdpo_core.plugin_api.datasets import NamedDataset

        class Rows(NamedDataset):
            "Rows."
            def __init__(self):
                raise asyncio.CancelledError
            def rows(self, split):
                return []

        @hookimpl
        def register_datasets(register):
            register("rows", Rows)
    """
    install("tgdpo-rows", source)
    found = PluginManager(env={}).find("dataset", "rows")
    with pytest.raises(PluginError, match=r"'rows' \(tgdpo-rows 1\.2\) failed when it was made: C"):
        found.create()
