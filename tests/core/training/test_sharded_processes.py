"""FSDP2 on two processes with unequal rows: nothing hangs, and the numbers are those of one."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import tiny_llama
from tests.core.training.forked_ranks import run_forked, what_they_said
from tests.core.training.fsdp_on_cpu import allow_fsdp_on_cpu
from tests.core.training.sharded_run import adapted, run, trainer, uneven_rows

_FREE = ("runtime", "per_second", "memory", "total_flos")  # depend on time


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: Any) -> Path:
    """A model whose head is its embedding: FSDP gathers such a weight once, by two names."""
    folder = tmp_path_factory.mktemp("tied")
    tiny_llama(len(small_tokenizer), tie_word_embeddings=True).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def runs(tied_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folders of two processes: two whole runs, and one that was killed and resumed."""
    folder = tmp_path_factory.mktemp("sharded")
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in uneven_rows()), encoding="utf-8")

    def cases(*names: str) -> list[int]:
        def work() -> None:
            allow_fsdp_on_cpu()
            for name in names:
                run(name, str(tied_model), str(file), str(folder))

        return run_forked(2, work, folder / names[-1])

    killed = cases("full", "lora", "killed")
    assert killed[1] == -signal.SIGKILL, what_they_said(folder / "killed")
    assert killed[0] > 0, "the other process ends, too"
    assert not (folder / "sharded" / "model").exists()
    assert cases("resumed") == [0, 0], what_they_said(folder / "resumed")
    return folder


@pytest.fixture(scope="module")
def alone(tied_model: Path, runs: Path) -> Path:
    """The folder with the same runs by one process."""
    folder = runs / "alone"
    given = {"model": str(tied_model), "rows": uneven_rows(), "folder": str(folder)}
    trainer("full", **given).train()
    trainer("lora", policy=adapted(str(tied_model)), **given).train()
    return folder


@pytest.mark.parametrize("name", ["full", "lora", "sharded"])
def test_sharded_processes_train_the_same_model_as_one(name: str, runs: Path, alone: Path) -> None:
    """Losses, metrics, evaluation and judgement; `sharded` was killed in step 5 and resumed."""
    expected = alone / ("lora" if name == "lora" else "full")
    found, wanted = _log_rows(runs / name), _log_rows(expected)
    assert len(found) == len(wanted)
    for a, b in zip(wanted, found, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            if not any(word in key for word in _FREE):
                assert b[key] == pytest.approx(a[key], abs=1e-5, rel=1e-5), key
    weights, others = _weights(expected), _weights(runs / name)
    assert weights.keys() == others.keys()
    for key, weight in weights.items():
        assert (weight - others[key]).abs().max() <= 1e-4, key


def test_a_run_of_two_processes_that_lost_one_resumes_exactly(runs: Path) -> None:
    whole, resumed = _weights(runs / "full"), _weights(runs / "sharded")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    for a, b in zip(_log_rows(runs / "full"), _log_rows(runs / "sharded"), strict=True):
        assert {k: v for k, v in a.items() if not any(word in k for word in _FREE)} == {
            k: v for k, v in b.items() if not any(word in k for word in _FREE)
        }


def _log_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _weights(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "model").glob("*.safetensors")
    return load_file(file)
