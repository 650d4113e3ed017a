"""What `tgdpo plugins new` writes, in full: strict types, and the README's command works."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tgdpo_cli.scaffold import write_package
from tgdpo_core.plugin_api.hook_rules import HOOK_OF_KIND

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("TGDPO_PROVE_SCAFFOLDS") != "1", reason="two minutes: make prove-scaffolds"
    ),
]

KINDS = (*HOOK_OF_KIND, "command")
TREE = Path(__file__).parents[2]
SMALL = {
    "train": ("--set", "training.max_steps=1", "--set", "training.save_strategy=no"),
    "evaluate": ("--limit", "2", "--max-new-tokens", "4"),
}


def test_the_types_of_all_packages_are_strict(tmp_path: Path) -> None:
    folders = [str(write_package(kind, "my-own", tmp_path) / "src") for kind in KINDS]
    paths = os.pathsep.join(map(str, (TREE, TREE / "cli", TREE / "plugins")))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *folders],
        env={**os.environ, "MYPYPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_command_of_the_readme_works(kind: str, tmp_path: Path) -> None:
    folder = write_package(kind, "my-own", tmp_path)
    module = next((folder / "src").iterdir()).name
    info = tmp_path / f"{module}-0.1.0.dist-info"
    info.mkdir()
    name = folder.name
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[tgdpo]\nmain = {module}\n")
    lines = (folder / "README.md").read_text().splitlines()
    command = [shlex.split(line) for line in lines if line.startswith("    tgdpo ")][1]
    more = SMALL.get(command[1], ())
    if command[1] == "train":
        more = (*more, "--output-dir", str(tmp_path / "run"))
    path = os.pathsep.join([str(tmp_path), str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tgdpo_cli.main", *command[1:], *more],
        env={**os.environ, "PYTHONPATH": path.strip(os.pathsep)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
