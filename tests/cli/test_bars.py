"""Every stage that can take more than two seconds says how far it is, through one door."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import tgdpo_core
import tgdpo_plugins
from tgdpo_cli import main
from tgdpo_core import progress

ROOMS = [Path(package.__file__ or "").parent for package in (tgdpo_core, tgdpo_plugins, main)]
_ROWS = "--dataset {rows} --split train --limit 4"
_SHORT = "--max-new-tokens 2 --greedy --samples 0"

# Command -> what its stages call themselves.
STAGES = {
    f"generate {{model}} {_ROWS} {_SHORT} --output {{folder}}/a.jsonl": ["answers"],
    f"evaluate {{model}} {_ROWS} --judge likelihood": ["tokenizing", "log-probs"],
    "bench reward confidence --dataset {marks} --model {model} --resamples 2": [
        "tokenizing",
        "token_reward:confidence",
        "measuring",
    ],
    "train --dry-run --reward-plugin none --model {model} --dataset {rows} --gpu-memory 24"
    " --set training.use_cpu=true --set training.max_steps=1 --output-dir {folder}/run": [
        "memory of a step",
        "longest row",
    ],
}


@pytest.fixture
def shown(
    rows_file: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """A function that runs a command whose stages all show, and returns its stderr."""
    monkeypatch.setattr(progress, "_DELAY", 0)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    marks = tmp_path / "marks.jsonl"
    row = '{"prompt": "Add.\\n", "steps": ["Two and %d is four.", "No."], "first_error_step": %d}\n'
    marks.write_text("".join(row % (i, 1 + i % 2) for i in range(6)))
    places = {"rows": rows_file, "model": model_folder, "folder": tmp_path, "marks": marks}

    def call(command: str) -> str:
        done = CliRunner().invoke(main.cli, command.format(**places).split())
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stderr

    return call


@pytest.mark.parametrize("command", list(STAGES), ids=lambda command: command.split()[0])
def test_a_stage_says_its_name_and_ends_at_its_total(
    command: str, shown: Callable[[str], str]
) -> None:
    lines = shown(command).splitlines()
    for name in STAGES[command]:
        assert any(f"{name}: 100%" in line for line in lines), (name, lines)


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_bars_come_from_one_room() -> None:
    """Another bar would know neither short stages, nor logs, nor other processes of a run."""
    files = [file for room in ROOMS for file in room.rglob("*.py")]
    strangers = [f for f in files if any(n.partition(".")[0] == "tqdm" for n in imported(f))]
    assert [file.name for file in strangers] == ["progress.py"]
