"""What each process of test_two_processes.py runs: an epoch of the small model."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer

from tgdpo_core import Judge, PairLikelihood, TGDPOConfig, TGDPOTrainer
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.launching import leave_process_group
from tgdpo_core.training.judging import Judging


class Margin(Judge):
    """log pi(chosen) - log pi(rejected), nats."""

    reads = "pairs"

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        """Return a margin per pair."""
        return [sum(pair.chosen_logps) - sum(pair.rejected_logps) for pair in batch]


torch.set_num_threads(1)
model, rows, output, batch_size = sys.argv[1:]
held_out = [json.loads(line) for line in Path(rows).read_text().splitlines()[:7]]
judged = parse_rows([(f"row {i}", row) for i, row in enumerate(held_out)], DataReport("rows"))
trainer = TGDPOTrainer(
    model,
    args=TGDPOConfig(
        output_dir=output,
        use_cpu=True,
        disable_tqdm=True,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        per_device_train_batch_size=int(batch_size),
        per_device_eval_batch_size=3,
        max_steps=11,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=11,
        save_strategy="no",
        tokens_per_row=150,
        seed=5,
        max_shares={"eval_overlap": 1.0},
    ),
    train_dataset=[json.loads(line) for line in Path(rows).read_text().splitlines()],
    eval_dataset=held_out,
    processing_class=AutoTokenizer.from_pretrained(model),
    token_reward={"plugin": "random", "args": {"seed": 1}},
    judging=Judging("margin", Margin(), judged, Sampling()),
)
trainer.train()
leave_process_group()
