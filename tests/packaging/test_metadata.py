"""What describes the project says the same everywhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

pytestmark = pytest.mark.checkout


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_has_the_version_and_licence_of_the_package() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["preferred-citation"]["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_workflow_tests_every_python_that_the_classifiers_name() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = [c for c in PROJECT["project"]["classifiers"] if c.startswith(prefix)]
    tested = read(".github/workflows/check.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert named
    assert {name.rpartition(" ")[2] for name in named} <= set(tested)


def test_the_workflow_runs_targets_that_the_makefile_has() -> None:
    jobs = read(".github/workflows/check.yml")["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    targets = [run.split()[1] for run in runs if run.startswith("make ")]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert sorted(targets) == ["check", "docs", "test", "wheel"]
    assert all(f"\n{target}: " in makefile for target in targets)


def test_everything_that_an_extra_brings_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    for wanted in PROJECT["project"]["optional-dependencies"]["docs"]:
        assert re.split(r"[\[<>=]", wanted)[0] in pinned
