"""What a checkpoint's safety costs: hashing and waiting for the disk, in per cent of a save.

`python -m benchmarks.save_overhead [FOLDER]` trains two steps of a random Llama of 40 million
parameters (weights and AdamW states: 480 MB) and saves after each; FOLDER says on which disk.
"""

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SETTINGS = ("use_cpu=true", "max_steps=2", "save_steps=1", "per_device_train_batch_size=1")


def timed(seconds: dict[str, float], name: str, function: Callable[..., Any]) -> Any:
    """Return a function that adds the time it takes to ``seconds``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - began

    return call


def write_model(folder: Path) -> None:
    """Write a random model with the playground's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    import tgdpo_plugins.playground as playground

    tokenizer = AutoTokenizer.from_pretrained(Path(playground.__file__).parent / "model")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=640,
        intermediate_size=1728,
        num_hidden_layers=8,
        num_attention_heads=10,
        num_key_value_heads=10,
    )
    model = LlamaForCausalLM(config)
    print(f"{model.num_parameters() / 1e6:.1f} million parameters")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Print seconds and shares."""
    import torch

    from tgdpo_cli.main import cli
    from tgdpo_core.training.durability import manifest
    from tgdpo_core.training.trainer import TGDPOTrainer

    torch.set_num_threads(1)
    seconds: dict[str, float] = defaultdict(float)
    manifest.file_hash = timed(seconds, "hashing", manifest.file_hash)
    manifest.fsync = timed(seconds, "waiting for the disk", manifest.fsync)
    save = timed(seconds, "save", TGDPOTrainer._save_checkpoint)
    TGDPOTrainer._save_checkpoint = lambda self, *args: save(self, *args)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        root = Path(place)
        write_model(root / "model")
        rows = [{"prompt": f"{i}+1=", "chosen": f"{i + 1}", "rejected": f"{i}"} for i in range(4)]
        (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = ["train", "--model", str(root / "model"), "--dataset", str(root / "rows.jsonl")]
        arguments += [part for text in _SETTINGS for part in ("--set", f"training.{text}")]
        os.environ["TGDPO_STORE"] = str(root / "store")
        cli.main([*arguments, "--output-dir", str(root / "run")], standalone_mode=False)
        files = (root / "run" / "checkpoints").rglob("*")
        size = sum(path.stat().st_size for path in files if path.is_file()) / 2
    whole = seconds["save"] / 2
    print(f"a save of {size / 2**20:.0f} MiB: {whole:.2f} s")
    for name in ("hashing", "waiting for the disk"):
        print(f"{name}: {seconds[name] / 2:.2f} s, {seconds[name] / seconds['save']:.0%}")


if __name__ == "__main__":
    main()
