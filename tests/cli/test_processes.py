"""`--num-processes` of train and score: what is started, what is said, what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tgdpo_cli.main import main

TRAIN = ["train", "--model", "m", "--dataset", "d.jsonl", "--output-dir", "out/run 1"]


def test_one_process_on_several_gpus_is_told_the_command_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(SystemExit) as ended:
        main(TRAIN)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    command = "tgdpo train --model m --dataset d.jsonl --output-dir 'out/run 1' --num-processes 4"
    assert command in said
    assert "CUDA_VISIBLE_DEVICES=0" in said


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([*TRAIN, "--dry-run", "--num-processes", "2"], {}, "--dry-run describes one process"),
        ([*TRAIN, "--launch", "machine_rank"], {}, "write KEY=VALUE"),
        ([*TRAIN, "--num-processes", "0"], {}, "not in the range"),
        ([*TRAIN, "--accelerate-config", "accelerate/ddd"], {}, "Did you mean 'accelerate/ddp'"),
        (
            [*TRAIN, "--num-processes", "2"],
            {"RANK": "0", "WORLD_SIZE": "1"},
            "was started by a launcher",
        ),
        (
            [
                "score",
                "--model",
                "m",
                "--dataset",
                "d",
                "--executor",
                "ray",
                "--num-processes",
                "2",
            ],
            {},
            "--num-actors",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    arguments: list[str],
    environment: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_sigterm_to_the_command_saves_in_all_processes_and_ends_with_75(
    tmp_path: Path, model_folder: Path, rows_file: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "tgdpo_cli.main", "train", "--num-processes", "2"]
    command += ["--model", str(model_folder), "--dataset", str(rows_file), "--output-dir", str(run)]
    for setting in ("use_cpu=true", "max_steps=100000", "save_steps=50000", "logging_steps=1"):
        command += ["--set", f"training.{setting}"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "logs" / "train.jsonl").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors[-3000:]
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "preempted"
    assert list((run / "checkpoints").glob("checkpoint-*/manifest.json"))
    assert {k: record["processes"][k] for k in ("world_size", "per_node", "sharding")} == {
        "world_size": 2,
        "per_node": 2,
        "sharding": "ddp",
    }
    assert output.count("Training data:") == 1
    assert "find_unused_parameters" not in errors
    assert errors.count("Go on with --resume") == 1
