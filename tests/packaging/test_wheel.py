"""The wheel holds the three packages with their data, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this checkout."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("needs the source checkout")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_has_exactly_the_three_packages(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in names_in(wheel)}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "tgdpo_core",
        "tgdpo_cli",
        "tgdpo_plugins",
    }


@pytest.mark.parametrize(
    "name",
    [
        "tgdpo_core/py.typed",
        "tgdpo_cli/py.typed",
        "tgdpo_plugins/py.typed",
        "tgdpo_cli/recipes/playground.yaml",
        "tgdpo_cli/scaffold/templates/pyproject.toml.template",
        "tgdpo_cli/scaffold/templates/token-reward/plugin.py.template",
        "tgdpo_plugins/playground/model/model.safetensors",
        "tgdpo_plugins/playground/data/train.jsonl",
    ],
)
def test_it_carries_its_data(wheel: Path, name: str) -> None:
    assert name in names_in(wheel)


def test_its_folders_in_the_checkout_are_no_packages_once_installed(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    checkout = [str(ROOT / folder) for folder in ("", "cli", "plugins")]  # an editable install's
    code = (
        "import sys, importlib.util as u\n"
        f"sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if p not in {checkout!r})]\n"
        "import tgdpo_core, tgdpo_cli.main, tgdpo_plugins\n"
        f"assert tgdpo_core.__file__.startswith({str(tmp_path)!r})\n"
        "sys.exit(any(u.find_spec(name) for name in ('cli', 'plugins', 'examples')))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
