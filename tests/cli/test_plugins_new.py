"""``tgdpo plugins new``: what it writes works at once, and nothing is written over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tgdpo_cli.main import cli, run
from tgdpo_cli.scaffold import write_package
from tgdpo_core.plugin_api.hook_rules import HOOK_OF_KIND


def new(*arguments: str) -> int:
    command = ["plugins", "new", *arguments]
    return run(lambda: cli.main(command, prog_name="tgdpo", standalone_mode=False))


@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        ("token-reward", "tgdpo-reward-my-own"),
        ("transform", "tgdpo-transform-my-own"),
        ("shaping", "tgdpo-shaping-my-own"),
        ("loss", "tgdpo-loss-my-own"),
        ("command", "tgdpo-command-my-own"),
        ("judge", "tgdpo-judge-my-own"),
        ("dataset", "tgdpo-dataset-my-own"),
        ("remote-reward", "tgdpo-reward-my-own"),
    ],
)
def test_every_kind_has_a_package_with_code_test_and_readme(
    tmp_path: Path, kind: str, distribution: str
) -> None:
    assert new(kind, "my-own", "--output", str(tmp_path)) == 0
    module = distribution.replace("-", "_")
    files = {
        f"{distribution}/pyproject.toml",
        f"{distribution}/README.md",
        f"{distribution}/src/{module}/__init__.py",
        f"{distribution}/tests/test_{module}.py",
    }
    if kind == "remote-reward":
        files.add(f"{distribution}/src/{module}/server.py")
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize(
    ("reads", "method"),
    [("answers", "score"), ("pairs", "score_pairs"), ("comparisons", "compare")],
)
def test_a_judge_is_made_for_what_it_reads(tmp_path: Path, reads: str, method: str) -> None:
    assert new("judge", "my-own", "--reads", reads, "--output", str(tmp_path)) == 0
    code = (tmp_path / "tgdpo-judge-my-own/src/tgdpo_judge_my_own/__init__.py").read_text()
    assert f"def {method}(self, batch" in code


def test_what_a_plugin_reads_is_asked_of_judges_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("loss", "my-own", "--reads", "pairs", "--output", str(tmp_path)) == 2
    assert "--reads is for judges; a loss has no use for it" in capsys.readouterr().err


def test_the_packages_of_all_kinds_pass_their_own_tests(tmp_path: Path) -> None:
    folders = [write_package(kind, "my-own", tmp_path) for kind in (*HOOK_OF_KIND, "command")]
    folders.append(write_package("remote-reward", "my-server", tmp_path))
    for reads in ("pairs", "comparisons"):
        folders.append(write_package(f"judge-of-{reads}", f"my-{reads}", tmp_path))
    paths = [str(folder / "src") for folder in folders]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_package_depends_on_versions_with_the_same_interface(tmp_path: Path) -> None:
    folder = write_package("loss", "my-own", tmp_path)
    assert 'dependencies = ["tgdpo>=0.1.0,<0.2"]' in (folder / "pyproject.toml").read_text()


def test_a_folder_that_exists_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tgdpo-reward-my-own"
    folder.mkdir()
    assert new("token-reward", "my-own", "--output", str(tmp_path)) == 2
    assert not list(folder.iterdir())
    assert "exists already; nothing was written" in capsys.readouterr().err


def test_a_name_that_is_taken_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("token-reward", "random", "--output", str(tmp_path)) == 2
    assert "There is a token-reward 'random' (tgdpo" in capsys.readouterr().err
    assert new("judge", "random", "--output", str(tmp_path)) == 0


@pytest.mark.parametrize("name", ["MyOwn", "my_own", "2nd", "my--own", "my-", "token", "a/b"])
def test_a_name_that_no_package_can_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert new("token-reward", name, "--output", str(tmp_path)) == 2
    assert f"'{name}' cannot name a new token-reward" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
