"""What each process of test_sharded_processes.py (forked) and of `make prove-ranks` runs.

    python -m tests.core.training.sharded_run CASES MODEL ROWS FOLDER

Cases, joined by commas: full and lora (FSDP2), ddp-full and ddp-lora, killed and resumed (FSDP2
with sharded checkpoints).
"""

import json
import os
import signal
import socket
import subprocess
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
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.training.judging import Judging

_ROOT = Path(__file__).parents[3]


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
        "length", Length(), judged, Sampling(max_new_tokens=4), batch_size=3, kl=True
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
    if case in ("killed", "resumed"):
        dies = [KilledAt(4)] if case == "killed" else []
        trainer("sharded", *dies, **fsdp("SHARDED_STATE_DICT"), **given).train(
            resume_from_checkpoint=case == "resumed" or None
        )
        return
    settings = {} if case.startswith("ddp-") else fsdp("FULL_STATE_DICT")
    policy = {"policy": adapted(model)} if case.endswith("lora") else {}
    trainer(case, **policy, **settings, **given).train()


def run_processes(world_size: int, cases: str, *places: Path) -> list[int]:
    """Run the cases in several processes, without a launcher in between; return exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = str(world_size)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.core.training.sharded_run", cases, *map(str, places)]
    processes = [
        subprocess.Popen(command, env={**env, "RANK": str(i), "LOCAL_RANK": str(i)}, cwd=_ROOT)
        for i in range(world_size)
    ]
    return [process.wait(timeout=400) for process in processes]


def uneven_rows() -> list[dict[str, Any]]:
    """Return 27 pairs of uneven lengths: processes have different numbers of rows."""
    return [
        {
            "prompt": f"Question {i}: what is {i} plus {i % 7}?"
            + " Look at the dog." * (i % 6)
            + "\n",
            "chosen": f"It is {i + i % 7}." + " Two plus two is four." * (i % 9),
            "rejected": f"It is {i + i % 7 + 1}, and the cat sat." + "." * (i % 3 + 1),
        }
        for i in range(27)
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    allow_fsdp_on_cpu()
    cases, *places = sys.argv[1:]
    for case in cases.split(","):
        run(case, *places)
