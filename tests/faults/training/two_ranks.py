"""What each of the two processes of test_two_ranks.py does: one fault after the other.

Prints one JSON line a process: case to what it saw.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, TrainerCallback

from tgdpo_core import TGDPOConfig, TGDPOTrainer, TokenReward
from tgdpo_core.errors import TgdpoError

torch.set_num_threads(1)
model, rows, output = sys.argv[1:]
RANK = int(os.environ["RANK"])
data = [json.loads(line) for line in Path(rows).read_text().splitlines()]


class At(TrainerCallback):
    """Does something on process 1 when a step begins."""

    def __init__(self, step: int, action: Callable[[Any], None]) -> None:
        self._step = step
        self._action = action

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if RANK == 1 and state.global_step == self._step:
            self._action(kwargs["model"])


class Same(TokenReward):
    """One for every token; its source differs between processes, as two versions would."""

    def score(self, batch: Any) -> list[torch.Tensor]:
        return [torch.ones(len(example.response_ids)) for example in batch]


class Other(Same):
    def score(self, batch: Any) -> list[torch.Tensor]:
        return [torch.full((len(example.response_ids),), 1.5) for example in batch]


def build(name: str, *callbacks: TrainerCallback, **kwargs: Any) -> TGDPOTrainer:
    seed = kwargs.pop("reward_seed", 1)
    reward = kwargs.pop("reward", {"plugin": "random", "args": {"seed": seed}})
    rows = kwargs.pop("rows", data)
    settings = {
        "output_dir": f"{output}/{name}",
        "use_cpu": True,
        "disable_tqdm": True,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 2,
        "max_steps": 6,
        "logging_steps": 1,
        "save_steps": 2,
        "seed": 5,
        **kwargs,
    }
    return TGDPOTrainer(
        model,
        args=TGDPOConfig(**settings),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model),
        token_reward=reward,
        callbacks=list(callbacks),
    )


def nan_gradient(policy: Any) -> None:
    next(iter(policy.parameters())).register_hook(lambda grad: grad * torch.nan)


def nan_loss(policy: Any) -> None:
    inner = getattr(policy, "module", policy)
    inner.get_input_embeddings().register_forward_hook(lambda m, i, out: out * torch.nan)


def stop(policy: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def seen(run: Callable[[], Any]) -> Any:
    try:
        run()
    except TgdpoError as error:
        return [type(error).__name__, error.exit_code, str(error)]
    return "done"


found = {
    "whole": seen(lambda: build("whole").train()),
    "seed": seen(lambda: build("seed", seed=5 + RANK)),
    "reward": seen(lambda: build("reward", reward_seed=1 + RANK)),
    "data": seen(lambda: build("data", rows=[{**data[0], "chosen": f"It is {RANK}."}, *data[1:]])),
    "plugin": seen(lambda: build("plugin", reward=(Same, Other)[RANK]())),
    "store": seen(lambda: build("own", store_path=f"{output}/store-{RANK}")),
    "loss": seen(lambda: build("loss", At(3, nan_loss)).train()),
    "gradient": seen(lambda: build("gradient", At(3, nan_gradient)).train()),
    "signal": seen(lambda: build("signal", At(3, stop)).train()),
    "resumed": seen(lambda: build("signal").train(resume_from_checkpoint=True)),
}
sys.stdout.write(json.dumps({"rank": RANK, "found": found}) + "\n")
