"""What `tgdpo plugins new` writes, in full: strict types, and the README's command works."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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

KINDS = (*HOOK_OF_KIND, "command", "remote-reward")
TREE = Path(__file__).parents[2]
SMALL = {
    "train": ("--set", "training.max_steps=1", "--set", "training.save_strategy=no"),
    "evaluate": ("--limit", "2", "--max-new-tokens", "4"),
}


def test_the_types_of_all_packages_are_strict(tmp_path: Path) -> None:
    packages = [write_package(kind, f"my-{kind}", tmp_path) for kind in KINDS]
    folders = [str(package / part) for package in packages for part in ("src", "tests")]
    sources = [package / "src" for package in packages]
    paths = os.pathsep.join(map(str, (TREE, TREE / "cli", TREE / "plugins", *sources)))
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
    texts = [line for line in lines if line.startswith("    tgdpo ")]
    command = shlex.split(texts[1], comments=True)
    more = SMALL.get(command[1], ())
    if command[1] == "train":
        more = (*more, "--output-dir", str(tmp_path / "run"))
    path = os.pathsep.join([str(tmp_path), str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path.strip(os.pathsep)}
    with served(kind, module, env) as port:
        command = [word.replace(":8000", f":{port}") for word in command]
        done = subprocess.run(
            [sys.executable, "-m", "tgdpo_cli.main", *command[1:], *more],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def served(kind: str, module: str, env: dict[str, str]) -> Iterator[int]:
    """Run the stand-in server of a package that has one; yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    if kind != "remote-reward":
        yield port
        return
    server = subprocess.Popen([sys.executable, "-m", f"{module}.server", str(port)], env=env)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)
