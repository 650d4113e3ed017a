"""Every kind of hostile package: it is named, it is put back, and a good one beside it works."""

import logging
import os
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hostile_kinds import KINDS, PAGE, REWARD, page_with_table
from tgdpo_cli.main import cli, run

Install = Callable[..., str]
GOOD = (
    REWARD.replace('"mine"', '"good"')
    + """
@hookimpl
def register_commands(cli):
    @cli.command("hi")
    def hi():
        "Say hi."
        import click
        click.echo("hi from good")
"""
)
LOADED = {name: kind for name, kind in KINDS.items() if kind.stage != "use"}
USED = {name: kind for name, kind in KINDS.items() if kind.stage == "use"}


def shown(arguments: list[str], capfd: Any, caplog: Any) -> tuple[int, str]:
    caplog.clear()
    code = run(lambda: cli.main(arguments, standalone_mode=False))
    captured = capfd.readouterr()
    return code, captured.out + captured.err + caplog.text


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = "hangs" in request.node.name
    monkeypatch.setenv("TGDPO_PLUGIN_LOAD_TIMEOUT", "1" if hangs else "30")


@pytest.mark.parametrize("name", LOADED)
def test_a_package_that_misbehaves_while_it_is_loaded_is_named_and_stops_nobody(
    name: str, install: Install, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    kind = LOADED[name]
    install(GOOD, name="tgdpo-good")
    distribution = install(kind.source, name="tgdpo-hostile")
    before = (os.getcwd(), logging.root.manager.disable, logging.root.level)
    code, text = shown(["plugins"], capfd, caplog)
    assert code == 0
    assert before == (os.getcwd(), logging.root.manager.disable, logging.root.level)
    assert random.random() != random.Random(0).random()
    assert re.search(kind.saw, text), text
    assert ("BROKEN" in text) == (kind.stage == "load"), text
    assert distribution in text or distribution.replace(" ", ":main ") in text
    assert "tgdpo-good 0.3" in text
    assert "bug in tgdpo" not in text
    assert "\x1b" not in text
    code, text = shown(["hi"], capfd, caplog)
    assert (code, "hi from good" in text) == (0, True), text


@pytest.mark.parametrize("name", USED)
def test_a_package_that_misbehaves_when_it_is_used_is_named_with_exit_code_4(
    name: str, install: Install, score: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    kind = USED[name]
    distribution = install(kind.source, name="tgdpo-hostile")
    done = score(reward="mine")
    assert done.code == 4, done.error
    assert re.search(kind.saw, done.error, re.DOTALL), done.error
    assert f"'mine' ({distribution})" in done.error
    assert "bug in tgdpo" not in done.error


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_table(), (
        "run: python tests/faults/hostile_kinds.py"
    )
    assert len(KINDS) >= 40


# -- commands -------------------------------------------------------------------------------------

HI = """
from tgdpo_core import hookimpl
@hookimpl
def register_commands(cli):
    @cli.command("hi")
    def hi():
        "Say hi."
        import click
        click.echo("hi from {who}")
"""


def test_two_packages_with_one_command_are_both_named(
    install: Install, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install(HI.format(who="one"), name="tgdpo-one")
    install(HI.format(who="two"), name="tgdpo-two")
    code, text = shown(["hi"], capfd, caplog)
    assert code == 4
    assert "'hi' is added by tgdpo-one 0.3 and by tgdpo-two 0.3" in text
    assert "tgdpo tgdpo-one:hi or tgdpo tgdpo-two:hi" in text
    code, text = shown(["tgdpo-two:hi"], capfd, caplog)
    assert (code, "hi from two" in text) == (0, True), text


def test_help_lists_the_commands_that_were_last_seen(
    install: Install, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = shown(["--help"], capfd, caplog)
    assert "`tgdpo plugins` lists them" in text
    install(GOOD, name="tgdpo-good")
    _, text = shown(["plugins"], capfd, caplog)
    assert re.search(r"command +hi +tgdpo-good 0.3 +Say hi", text)
    _, text = shown(["--help"], capfd, caplog)
    assert re.search(r"hi +Say hi. \(tgdpo-good 0.3\)", text), text


# -- leaving plugins out --------------------------------------------------------------------------


def test_a_distribution_is_left_out_by_name(
    install: Install, capfd: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGDPO_BLOCK_PLUGINS", "")
    install(GOOD, name="tgdpo-good")
    install("1 / 0", name="tgdpo-hostile")
    _, text = shown(["-p", "no:tgdpo_Hostile", "plugins"], capfd, caplog)
    assert "tgdpo-good" in text
    assert "hostile" not in text


def test_a_name_that_is_no_distribution_is_warned_of(
    install: Install, capfd: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGDPO_BLOCK_PLUGINS", "")
    install(GOOD, name="tgdpo-good")
    _, text = shown(["-p", "no:tgdpo-godo", "plugins"], capfd, caplog)
    assert "no plugin of 'tgdpo-godo' is installed. Did you mean 'tgdpo-good'" in text
    code, text = shown(["-p", "tgdpo-good", "plugins"], capfd, caplog)
    assert (code, "expected no:NAME" in text) == (2, True)


# -- in a process of its own ----------------------------------------------------------------------


def process(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "site"), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "tgdpo_cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_thread_does_not_keep_a_command_alive_and_its_output_is_whole(
    install: Install, tmp_path: Path
) -> None:
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
    install("import torch\nprint('hello')\n" + thread + textwrap.dedent(REWARD), name="tgdpo-heavy")
    done = process(tmp_path, "plugins", "list", "--json", "--trace", TGDPO_PLUGIN_LOAD_TIMEOUT="50")
    import json

    (trace,) = [t for t in json.loads(done.stdout)["trace"] if "heavy" in t["plugin"]]
    assert (trace["imports"], trace["printed"]) == (["torch"], "hello\n")
    assert trace["hooks"] == ["register_token_rewards"]
    assert re.search(
        r"tgdpo-heavy:main 0.3 took .* s to load and imports torch at its top", done.stderr
    )
    assert done.returncode == 0


def test_a_package_that_catches_every_interrupt_ends_the_command_by_name(
    install: Install, tmp_path: Path
) -> None:
    loop = "import time\nwhile True:\n    try:\n        time.sleep(9)\n"
    loop += "    except BaseException:\n        pass\n"
    install(loop, name="tgdpo-stubborn")
    done = process(tmp_path, "plugins", TGDPO_PLUGIN_LOAD_TIMEOUT="5")
    assert done.returncode == 4
    assert "Plugin tgdpo-stubborn:main was busy with its import" in done.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("torch.set_float32_matmul_precision('medium')", "the float32 precision of torch"),
        ("torch.autocast('cpu').__enter__()", "the autocast mode of torch"),
        ("torch.set_num_threads(torch.get_num_threads() + 1)", "the number of threads of torch"),
        ("", ""),
    ],
)
def test_the_first_to_import_torch_is_held_to_what_torch_was(
    install: Install, tmp_path: Path, change: str, named: str
) -> None:
    install(f"import torch\n{change}\n{REWARD}", name="tgdpo-first")
    done = process(tmp_path, "plugins")
    broken = f"its import: the plugin changed {named} for the whole process"
    assert (broken in done.stdout) == bool(change), done.stdout
    assert ("BROKEN  tgdpo-first:main 0.3" in done.stdout) == bool(change), done.stdout
    assert bool(re.search(r"mine +tgdpo-first 0.3", done.stdout)) != bool(change), done.stdout


BEYOND_REPAIR = {
    "its own torch.nn.functional.logsigmoid": (
        "import torch\ntorch.nn.functional.logsigmoid = lambda x: x * 0\n1 / 0\n"
    ),
    "a half-finished import of torch": (
        "import sys, types\nsys.modules['torch._C'] = types.ModuleType('torch._C')\n1 / 0\n"
    ),
}


@pytest.mark.parametrize("left", BEYOND_REPAIR)
def test_what_cannot_be_put_back_stops_what_computes_and_nothing_else(
    install: Install, tmp_path: Path, rows_file: Path, left: str
) -> None:
    source = BEYOND_REPAIR[left]
    install(source, name="tgdpo-monkey")
    arguments = ("validate", "--dataset", str(rows_file), "--model", "playground")
    done = process(tmp_path, *arguments, "--output-dir", str(tmp_path / "run"))
    assert done.returncode == 4
    assert f"Plugin tgdpo-monkey:main 0.3 left {left} in this process" in done.stderr
    assert "tgdpo -p no:tgdpo-monkey" in done.stderr
    done = process(tmp_path, "plugins")
    assert (done.returncode, "BROKEN  tgdpo-monkey:main" in done.stdout) == (0, True)
    done = process(tmp_path, "-p", "no:tgdpo-monkey", *arguments, "--output-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
