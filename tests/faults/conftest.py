"""A plugin package with a fault, and the command line around it."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tgdpo_cli.main import cli, run

ROWS = [
    {"prompt": "Is it?\n", "chosen": "It is 4, \U0001f600.", "rejected": "No."},
    {"prompt": "And now?\n", "chosen": "Now it is.", "rejected": "Never, ever."},
]


class Done(NamedTuple):
    """What a command left: exit code and the text of standard error."""

    code: int
    error: str


Command = Callable[..., Done]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function: source of a plugin -> name of the distribution that brings it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def make(source: str, *, name: str = "tgdpo-faulty", version: str = "0.3") -> str:
        # A module of its own for every test: python keeps what it has imported.
        module = f"{name.replace('-', '_')}_{abs(hash((str(tmp_path), source)))}"
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tgdpo]\nmain = {module}\n")
        return f"{name} {version}"

    return make


REWARD = """
from tgdpo_core import Spans, TokenReward, hookimpl

class Faulty(TokenReward):
    "A reward with a fault."
{body}

@hookimpl
def register_token_rewards(register):
    register("faulty", Faulty)
"""


@pytest.fixture
def faulty(install: Callable[..., str]) -> Callable[[str], str]:
    """A function: body of the method ``score`` (or of the class) -> the distribution."""

    def make(body: str) -> str:
        body = textwrap.dedent(body).strip()
        if "def " not in body:
            body = f"def score(self, batch):\n{textwrap.indent(body, '    ')}"
        return install(REWARD.format(body=textwrap.indent(body, "    ")))

    return make


@pytest.fixture
def tgdpo(capfd: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command."""

    def call(*arguments: str) -> Done:
        code = run(lambda: cli.main(arguments, standalone_mode=False))
        return Done(code, capfd.readouterr().err)

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pairs in a file."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def score(tgdpo: Command, data: Path, model_folder: Path) -> Command:
    """A function that scores the two pairs with the reward ``faulty``."""

    def call(*arguments: str, reward: str = "faulty") -> Done:
        common = ("--model", str(model_folder), "--dataset", str(data))
        return tgdpo("score", *common, "--reward-plugin", reward, *arguments)

    return call


@pytest.fixture
def train(tgdpo: Command, data: Path, model_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """A function that trains two steps on the two pairs."""

    def call(*arguments: str, name: str = "run") -> Done:
        return tgdpo(
            *("train", "--model", str(model_folder), "--dataset", str(data)),
            *("--output-dir", str(tmp_path / name), "--set", "training.max_steps=2"),
            *("--set", "training.use_cpu=true", "--set", "training.save_strategy=no"),
            *arguments,
        )

    return call
