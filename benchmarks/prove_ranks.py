"""N processes equal one: 2 and 4, DDP and FSDP2, full and LoRA, one killed and resumed.

    make prove-ranks

On CPUs (gloo), with accelerate's refusal of FSDP there lifted for the test. 27 pairs of uneven
lengths, four a step, so that processes have different numbers of rows and the last step is short.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.conftest import SENTENCES, tiny_llama, train_bpe
from tests.core.training.sharded_run import run_processes, uneven_rows

_FREE = ("runtime", "per_second", "memory", "total_flos", "judge/sampled", "judge/kl")
_LOSS, _WEIGHTS = 1e-5, 1e-4  # the largest differences that are allowed


def main() -> int:
    """Run everything, print a table, and return 1 if anything differs."""
    folder = Path(tempfile.mkdtemp(prefix="prove-ranks-"))
    places = _inputs(folder)
    _require(run_processes(1, "ddp-full,ddp-lora", *places, folder / "1") == [0], "one process")
    shutil.copytree(folder / "1" / "store", folder / "store")
    bad = 0
    print(f"{'processes':10} {'how':14} {'loss and metrics':>18} {'weights':>10}")
    for size in (2, 4):
        target = folder / str(size)
        for cases in ("ddp-full,ddp-lora", "full,lora"):
            _require(run_processes(size, cases, *places, target) == [0] * size, f"{size}: {cases}")
        codes = run_processes(size, "killed", *places, target)
        _require(codes[1] == -9 and all(codes), f"{size}: killed, exit codes {codes}")
        _require(run_processes(size, "resumed", *places, target) == [0] * size, f"{size}: resumed")
        for name in ("ddp-full", "ddp-lora", "full", "lora", "sharded"):
            expected = folder / "1" / ("ddp-lora" if "lora" in name else "ddp-full")
            metric, weight = _difference(expected, target / name)
            bad += metric > _LOSS or weight > _WEIGHTS
            print(f"{size:<10} {_NAMES[name]:14} {metric:18.1e} {weight:10.1e}", flush=True)
        metric, weight = _difference(target / "full", target / "sharded")
        bad += bool(metric or weight)
        print(f"{size:<10} {'resumed, whole':14} {metric:18.1e} {weight:10.1e}", flush=True)
    shutil.rmtree(folder)
    return int(bad > 0)


_NAMES = {
    "ddp-full": "DDP",
    "ddp-lora": "DDP, LoRA",
    "full": "FSDP2",
    "lora": "FSDP2, LoRA",
    "sharded": "FSDP2, killed",
}


def _inputs(folder: Path) -> tuple[Path, Path]:
    """Write a model whose head is its embedding, and pairs; return where they are."""
    model, rows = folder / "model", folder / "rows.jsonl"
    tokenizer = train_bpe(SENTENCES * 4, vocab_size=330)
    tiny_llama(len(tokenizer), tie_word_embeddings=True).save_pretrained(model)
    tokenizer.save_pretrained(model)
    rows.write_text("".join(json.dumps(row) + "\n" for row in uneven_rows()), encoding="utf-8")
    return model, rows


def _difference(expected: Path, found: Path) -> tuple[float, float]:
    """Return the largest differences of log rows (relative above 1) and of weights."""
    metric = 0.0
    for a, b in zip(_log(expected), _log(found), strict=True):
        _require(a.keys() == b.keys(), f"{found}: other metrics")
        for key in a:
            if not any(word in key for word in _FREE):
                metric = max(metric, abs(a[key] - b[key]) / max(1.0, abs(a[key])))
    one, other = (load_file(next((p / "model").glob("*.safetensors"))) for p in (expected, found))
    _require(one.keys() == other.keys(), f"{found}: other weights")
    return metric, max((one[key] - other[key]).abs().max().item() for key in one)


def _log(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"Not as it should be: {what}")


if __name__ == "__main__":
    sys.exit(main())
