"""docs/plugins.md: its files are copied out and used as a reader would; no hook is missing."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tgdpo_cli.main import cli
from tgdpo_core.plugin_api import hookspecs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plugins.md"
_BLOCK = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the page."""
    folder = tmp_path_factory.mktemp("docs")
    for name, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def tgdpo(*arguments: str) -> str:
    """Return what a command prints; it must succeed."""
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def tgdpo_of(python: str, *arguments: str) -> str:
    """Return what a command of an environment prints; it must succeed."""
    command = [python, "-m", "tgdpo_cli.main", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- files of the page ----------------------------------------------------------------------------


def test_the_reward_of_one_file_keeps_its_contract(files: Path) -> None:
    found = tgdpo("--plugin-file", str(files / "mine.py"), "plugins", "check", "early")
    assert "FAILED" not in found
    assert "ok" in found


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("squash.py", "squash"),
        ("quadratic.py", "quadratic"),
        ("squared.py", "squared"),
        ("more.py", "short"),
        ("more.py", "sure"),
    ],
)
def test_plugins_of_other_kinds_keep_their_contracts(files: Path, file: str, name: str) -> None:
    found = tgdpo("--plugin-file", str(files / file), "plugins", "check", name)
    assert "FAILED" not in found
    assert "ok" in found


def test_the_data_set_and_the_command_of_the_page_work(files: Path, tmp_path: Path) -> None:
    plugin = ("--plugin-file", str(files / "more.py"))
    assert tgdpo(*plugin, "hello") == "hello\n"
    found = tgdpo(
        *(*plugin, "validate", "--dataset", "greetings", "--model", "playground"),
        *("--output-dir", str(tmp_path)),
    )
    assert "2 pairs" in found


def test_the_judges_of_the_page_evaluate(files: Path) -> None:
    command = ("--plugin-file", str(files / "more.py"), "evaluate", "playground")
    command += ("--dataset", "playground", "--limit", "4", "--json")

    def judged(*judge: str) -> Any:
        return json.loads(tgdpo(*command, "--judge", *judge))["models"][0]

    assert judged("short", "--max-new-tokens", "4")["sampled"]["mean"] == 1
    surely = [judged("sure", "--judge-arg", f"nats={nats}") for nats in (-100, 100)]
    assert [each["score"]["mean"] for each in surely] == [1, 0]


def test_the_transform_and_the_shaping_of_the_page_train(files: Path, tmp_path: Path) -> None:
    plugins = [x for name in ("mine", "squash", "quadratic") for x in ("--plugin-file", name)]
    plugins = [
        str(files / f"{x}.py") if x in ("mine", "squash", "quadratic") else x for x in plugins
    ]
    reward = ("--reward-plugin", "early", "--reward-transform", "squash:limit=3")
    tgdpo(
        *plugins,
        *("train", "--config", "playground", *reward, "--shaping", "quadratic"),
        *("--set", "training.max_steps=2", "--output-dir", str(tmp_path / "run")),
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "done"
    assert record["transform_states"][0]["state"]["std"] > 0
    assert record["diagnostics"]["chosen"]["min"] >= 0


# -- the package of the page, installed -----------------------------------------------------------


@pytest.fixture(scope="module")
def installed(files: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The python of a clean environment in which the page's package is installed by pip."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    # What tgdpo itself needs is borrowed from this environment: nothing is downloaded.
    borrowed = [path for path in sys.path if path.endswith("-packages")]
    borrowed += [str(ROOT), str(ROOT / "cli"), str(ROOT / "plugins")]
    (Path(site.stdout.strip()) / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, str(files / "tgdpo-reward-caps")], check=True)
    return str(python)


def test_the_package_is_listed_with_its_origin(installed: str) -> None:
    assert "tgdpo-reward-caps 0.1" in tgdpo_of(installed, "plugins")


def test_the_package_is_explained(installed: str) -> None:
    found = tgdpo_of(installed, "plugins", "show", "caps")
    assert "Penalise SHOUTING" in found
    assert "size of the penalty" in found


def test_the_package_keeps_its_contract(installed: str) -> None:
    assert "FAILED" not in tgdpo_of(installed, "plugins", "check", "caps")


def test_the_package_trains_on_real_pairs(
    installed: str, tmp_path: Path, gsm8k_rows: list[dict[str, Any]], model_folder: Path
) -> None:
    data = tmp_path / "gsm8k.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in gsm8k_rows[:16]))
    run = tmp_path / "run"
    tgdpo_of(
        installed,
        *("train", "--model", str(model_folder), "--dataset", str(data)),
        *("--reward-plugin", "caps", "--reward-arg", "penalty=0.5", "--output-dir", str(run)),
        *("--set", "training.max_steps=2", "--set", "training.save_strategy=no"),
    )
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    (source,) = record["reward_sources"]
    assert (source["origin"], source["options"]) == ("tgdpo-reward-caps 0.1", {"penalty": 0.5})
    assert record["diagnostics"]["rewards"][0]["quantiles"]["0.0"] == -0.5


# -- hooks ----------------------------------------------------------------------------------------

HOOKS = {
    name: function
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
    if name.startswith("register_")
}


def test_there_are_hooks() -> None:
    assert len(HOOKS) >= 6


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_is_documented_with_its_signature(name: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"| `{name}({arguments})` |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_has_a_test(files: Path, name: str) -> None:
    tests = [*(ROOT / "tests").rglob("test_*.py"), *files.rglob("*.py")]
    assert any(f"def {name}(" in path.read_text(encoding="utf-8") for path in tests)
