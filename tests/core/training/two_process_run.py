"""What each process of test_two_processes.py runs: ten steps on the small model."""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer

from tgdpo_core import TGDPOConfig, TGDPOTrainer

torch.set_num_threads(1)
model, rows, output, batch_size = sys.argv[1:]
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
        max_steps=10,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="no",
        tokens_per_row=150,
        seed=5,
    ),
    train_dataset=[json.loads(line) for line in Path(rows).read_text().splitlines()],
    eval_dataset=[json.loads(line) for line in Path(rows).read_text().splitlines()[:7]],
    processing_class=AutoTokenizer.from_pretrained(model),
    token_reward={"plugin": "random", "args": {"seed": 1}},
)
trainer.train()
