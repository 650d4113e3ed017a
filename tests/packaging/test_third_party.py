"""A stranger's package, built and installed beside tgdpo: found, explained, checked, trained with.

The environment is a new one with its own site-packages; what tgdpo itself needs is led in from the
one that runs the tests, so that no network is needed.
"""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"

pytestmark = pytest.mark.checkout


class Environment:
    """A virtual environment in which packages are installed and commands run."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        own = next((folder / "lib").glob("python*")) / "site-packages"
        outer = sysconfig.get_path("purelib")
        # addsitedir, because an editable tgdpo is itself a .pth file there.
        (own / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Return what ``python ARGUMENTS`` prints; it must succeed."""
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        clean["OMP_NUM_THREADS"] = "1"  # tests run side by side
        done = subprocess.run(
            [str(self.python), *arguments], cwd=cwd, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, source: Path) -> None:
        """Build a package and install it."""
        command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        self.run(*command, "--no-deps", "--no-build-isolation", str(source))

    def tgdpo(self, *arguments: str) -> str:
        """Return what a command prints."""
        return self.run("-m", "tgdpo_cli.main", *arguments)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the example package."""
    if not EXAMPLE.is_dir() or importlib.util.find_spec("pip") is None:
        pytest.skip("needs the source checkout, and pip")
    made = Environment(tmp_path_factory.mktemp("environment"))
    source = tmp_path_factory.mktemp("source") / EXAMPLE.name
    _copy_sources(EXAMPLE, source)
    made.install(source)
    return made


def _copy_sources(folder: Path, target: Path) -> None:
    """Copy a package's files, so that building leaves nothing in the checkout."""
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def test_it_is_listed_with_its_distribution(environment: Environment) -> None:
    listed = json.loads(environment.tgdpo("plugins", "list", "--json"))
    found = {
        (item["kind"], item["name"], item["version"])
        for item in listed["plugins"]
        if item["distribution"] == "tgdpo-reward-repetition"
    }
    assert found == {("token-reward", "repetition", "0.1.0"), ("transform", "soft-clip", "0.1.0")}
    assert listed["broken"] == []


def test_its_options_are_explained(environment: Environment) -> None:
    shown = environment.tgdpo("plugins", "show", "repetition")
    assert "from tgdpo-reward-repetition 0.1.0" in shown
    assert "how many words in a row make a repetition" in shown


def test_it_passes_the_checks_of_its_kind(environment: Environment) -> None:
    for name in ("repetition", "soft-clip"):
        assert "FAILED" not in environment.tgdpo("plugins", "check", name)


def test_its_own_tests_pass(environment: Environment, tmp_path: Path) -> None:
    _copy_sources(EXAMPLE / "tests", tmp_path)
    passed = environment.run(
        "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", ".", cwd=tmp_path
    )
    assert " passed" in passed


def test_a_model_is_trained_with_it(
    environment: Environment,
    gsm8k_rows: list[dict[str, Any]],
    model_folder: Path,
    tmp_path: Path,
) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in gsm8k_rows[:4]))
    command = ["train", "--model", str(model_folder), "--dataset", str(data)]
    command += ["--reward-plugin", "repetition", "--reward-arg", "ngram=2"]
    command += ["--reward-transform", "soft-clip:limit=0.5", "--output-dir", str(tmp_path / "run")]
    for setting in ("use_cpu=true", "max_steps=1", "logging_steps=1"):
        command += ["--set", f"training.{setting}"]
    environment.tgdpo(*command)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "done"
    assert {"repetition", "soft-clip"} <= {plugin["name"] for plugin in record["plugins"]}
    log = (tmp_path / "run" / "logs" / "train.jsonl").read_text().splitlines()
    steps = [row for row in map(json.loads, log) if "loss" in row]
    # 0.5 tanh(-1 / 0.5) on a word that is said again, 0 elsewhere.
    assert min(row["token_reward/min"] for row in steps) == pytest.approx(-0.482, abs=1e-3)
    assert max(row["token_reward/max"] for row in steps) == 0


def test_a_package_of_plugins_new_is_installed_and_found(
    environment: Environment, tmp_path: Path
) -> None:
    environment.tgdpo("plugins", "new", "judge", "terse", "--output", str(tmp_path))
    environment.install(tmp_path / "tgdpo-judge-terse")
    assert "FAILED" not in environment.tgdpo("plugins", "check", "terse", "--arg", "max_words=5")
