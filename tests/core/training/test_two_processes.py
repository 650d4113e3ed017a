"""Two processes with the same global batch train the same model as one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer

from tests.core.training.forked_ranks import run_forked, what_they_said
from tgdpo_core import Judge, PairLikelihood, TGDPOConfig, TGDPOTrainer
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.training.judging import Judging

_TIMES = ("runtime", "per_second", "memory", "total_flos")


@pytest.fixture(scope="module")
def uneven_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of uneven lengths, so that processes have different numbers of rows; the last batch of
    the epoch holds three, so that one process has one pair and one that fills its batch."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {
            "prompt": f"Question {i}: what is {i} plus {i % 7}?"
            + " Look at the dog." * (i % 6)
            + "\n",
            "chosen": f"It is {i + i % 7}." + " Two plus two is four." * (i % 9),
            "rejected": f"It is {i + i % 7 + 1}, and the cat sat." + "." * (i % 3 + 1),
        }
        for i in range(43)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class Margin(Judge):
    """log pi(chosen) - log pi(rejected), nats."""

    reads = "pairs"

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        """Return a margin per pair."""
        return [sum(pair.chosen_logps) - sum(pair.rejected_logps) for pair in batch]


def run(model: Path, rows: Path, output: Path, batch_size: int, *, drop_last: bool) -> None:
    """What each process runs: an epoch of the small model, or one and a part without its end."""
    steps = 13 if drop_last else 11
    held_out = [json.loads(line) for line in rows.read_text().splitlines()[:7]]
    judged = parse_rows([(f"row {i}", row) for i, row in enumerate(held_out)], DataReport("rows"))
    trainer = TGDPOTrainer(
        str(model),
        args=TGDPOConfig(
            output_dir=str(output),
            use_cpu=True,
            disable_tqdm=True,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=3,
            dataloader_drop_last=drop_last,
            max_steps=steps,
            logging_steps=1,
            eval_strategy="steps",
            eval_steps=steps,
            save_strategy="no",
            tokens_per_row=150,
            seed=5,
            store_path=str(output / "store"),
            max_shares={"eval_overlap": 1.0},
        ),
        train_dataset=[json.loads(line) for line in rows.read_text().splitlines()],
        eval_dataset=held_out,
        processing_class=AutoTokenizer.from_pretrained(str(model)),
        token_reward={"plugin": "random", "args": {"seed": 1}},
        judging=Judging("margin", Margin(), judged, Sampling()),
    )
    trainer.train()


def log_rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("drop_last", [False, True])
def test_two_processes_train_the_same_model_as_one(
    tmp_path: Path, model_folder: Path, uneven_rows: Path, drop_last: bool
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run(model_folder, uneven_rows, one, 4, drop_last=drop_last)
    codes = run_forked(
        2, lambda: run(model_folder, uneven_rows, two, 2, drop_last=drop_last), tmp_path
    )
    assert codes == [0, 0], what_they_said(tmp_path)

    judged = sum("judge/pairs" in row for row in log_rows(two))
    assert judged == 2 + drop_last  # before, after the epoch, at the end
    for a, b in zip(log_rows(one), log_rows(two), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if not any(word in name for word in _TIMES):
                assert b[name] == pytest.approx(a[name], abs=1e-5, rel=1e-5), name
    weights, others = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert (weight - others[name]).abs().max() <= 1e-4, name
    # The work of the scoring pass was shared, and nothing was computed twice (the evaluation pairs
    # are among the 43).
    record = json.loads((two / "run.json").read_text())
    assert record["store"]["computed"] == 2 * 43
