"""What each process of test_sharded_processes.py runs, in the order that its arguments say."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, TrainerCallback

from tests.core.training.fsdp_on_cpu import allow_fsdp_on_cpu
from tgdpo_core import Generation, Judge, PairLikelihood, TGDPOConfig, TGDPOTrainer
from tgdpo_core.data.formats import parse_rows
from tgdpo_core.data.report import DataReport
from tgdpo_core.evaluation.generation import Sampling
from tgdpo_core.training.judging import Judging


class Margin(Judge):
    """log pi(chosen) - log pi(rejected), nats."""

    reads = "pairs"

    def score_pairs(self, batch: Sequence[PairLikelihood]) -> list[float]:
        return [sum(pair.chosen_logps) - sum(pair.rejected_logps) for pair in batch]


class Length(Judge):
    """Characters of an answer."""

    def score(self, batch: Sequence[Generation]) -> list[float]:
        return [float(len(item.response)) for item in batch]


class KilledAt(TrainerCallback):
    """Process 1 dies when a step begins."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if os.environ.get("RANK") == "1" and state.global_step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def trainer(name: str, *callbacks: TrainerCallback, **kwargs: Any) -> TGDPOTrainer:
    """Return a trainer of seven steps, an epoch of 27 pairs; the last step holds three."""
    model, folder, data = kwargs.pop("model"), Path(kwargs.pop("folder")), kwargs.pop("rows")
    held_out = data[:7]
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    judged = parse_rows([(f"row {i}", row) for i, row in enumerate(held_out)], DataReport("rows"))
    by_answers = Judging(
        "length", Length(), judged, Sampling(max_new_tokens=4, batch_size=3), 1, True
    )
    return TGDPOTrainer(
        kwargs.pop("policy", model),
        args=TGDPOConfig(
            output_dir=str(folder / name),
            use_cpu=True,
            disable_tqdm=True,
            learning_rate=1e-3,
            per_device_train_batch_size=4 // world_size,
            per_device_eval_batch_size=3,
            num_train_epochs=1,
            logging_steps=1,
            eval_strategy="steps",
            eval_steps=7,
            save_steps=3,
            tokens_per_row=150,
            seed=5,
            store_path=str(folder / "store"),
            max_shares={"eval_overlap": 1.0},
            **kwargs,
        ),
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=AutoTokenizer.from_pretrained(model),
        token_reward={"plugin": "random", "args": {"seed": 1}},
        judging=by_answers if "lora" in name else Judging("margin", Margin(), judged, Sampling()),
        callbacks=list(callbacks),
    )


def adapted(model: str) -> Any:
    """Return the model with an adapter, the same in every process."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    return get_peft_model(
        AutoModelForCausalLM.from_pretrained(model), LoraConfig(r=4, target_modules="all-linear")
    )


def fsdp(state: str) -> dict[str, Any]:
    """Return settings of FSDP2 with a way of saving."""
    return {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": state}}


def run(case: str, model: str, rows: str, folder: str) -> None:
    data = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    given = {"model": model, "rows": data, "folder": folder}
    if case == "full":
        trainer("full", **fsdp("FULL_STATE_DICT"), **given).train()
    elif case == "lora":
        trainer("lora", policy=adapted(model), **fsdp("FULL_STATE_DICT"), **given).train()
    else:
        dies = [KilledAt(4)] if case == "killed" else []
        trainer("sharded", *dies, **fsdp("SHARDED_STATE_DICT"), **given).train(
            resume_from_checkpoint=case == "resumed" or None
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    allow_fsdp_on_cpu()
    cases, *places = sys.argv[1:]
    for case in cases.split(","):
        run(case, *places)
