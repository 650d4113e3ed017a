"""The product itself: `TGDPOTrainer` on text, scoring pass and training steps."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.waits import noting
from benchmarks.gpu.workloads import SHAPES, pairs
from benchmarks.workload import make_model

_WORDS = 4000


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield scoring and training speed for bfloat16 weights and for float32 under autocast."""
    shape = SHAPES["135M"]
    count = 8 if small else 512
    name, vocab_size = ("test", 5000) if small else (shape.name, shape.vocab_size)
    rows = _rows("12:6" if small else "hh", count)
    for dtype in (torch.bfloat16, torch.float32):
        if small and dtype == torch.bfloat16:
            continue
        model = make_model(name, vocab_size, device=device, dtype=dtype)
        yield {"weights": str(dtype).removeprefix("torch."), **_train(model, rows, small=small)}


def _train(model: Any, rows: list[dict[str, str]], *, small: bool) -> dict[str, Any]:
    from tgdpo_core.training.config import TGDPOConfig
    from tgdpo_core.training.trainer import TGDPOTrainer

    facts: dict[str, Any] = {}
    step = 4 if small else 64
    with tempfile.TemporaryDirectory() as folder:
        for run in ("cold", "warm"):
            args = TGDPOConfig(
                output_dir=str(Path(folder) / run),
                store_path=str(Path(folder) / "store"),
                per_device_train_batch_size=step,
                num_train_epochs=1,
                learning_rate=1e-4,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
                optim="adamw_torch_fused",
            )
            started = time.perf_counter()
            trainer = TGDPOTrainer(
                model=model,
                args=args,
                train_dataset=rows,
                processing_class=_tokenizer(),
                token_reward="random",
            )
            facts[f"prepare_{run}_seconds"] = time.perf_counter() - started
        waits: list[str] = []
        trainer.training_step = noting(trainer.training_step, waits)  # type: ignore[method-assign]
        trainer.train()
        # The first pass of each kernel may compile, and wait for that.
        facts["waits_in_rows"] = dict(Counter(waits))
        logs = [row for row in trainer.state.log_history if "pairs_per_second" in row]
        facts["pairs_per_second"] = [round(row["pairs_per_second"], 2) for row in logs]
        facts["losses"] = [round(row["loss"], 6) for row in logs]
        facts["peak_memory_mib"] = logs[-1]["peak_memory_mib"]
        facts["engine"] = {k: str(v) for k, v in trainer._facts["engine"].items()}
    return facts


def _rows(workload: str, count: int) -> list[dict[str, str]]:
    """Return pairs as text of as many words as their real lengths have tokens."""
    generator = random.Random(1)

    def text(length: int) -> str:
        return " ".join(f"w{generator.randrange(_WORDS)}" for _ in range(max(length, 2)))

    return [
        {
            "prompt": text(len(pair.prompt)) + " ",
            "chosen": text(len(pair.chosen)),
            "rejected": text(len(pair.rejected)),
        }
        for pair in pairs(workload, count, 5000)
    ]


def _tokenizer() -> Any:
    """Return a tokenizer with one token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}
    vocabulary |= {f"w{i}": i + 4 for i in range(_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
