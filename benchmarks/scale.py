"""How preparing and training grow with pairs, tokens, parameters and ranks.

    python -m benchmarks.scale measure --pairs 100000 --kind short --folder DIR
    python -m benchmarks.scale predict --pairs 10000000 --parameters 8e9 --ranks 64

``measure`` makes a data set and runs every stage in a process of its own; ``predict`` prints what
``benchmarks.cost_model`` says. docs/scale.md puts both side by side.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STAGES = (
    ("read", "read"),
    ("validate", "validate"),
    ("tokenise", "tokenise, cold"),
    ("tokenise", "tokenise, warm"),
    ("plan", "plan rows"),
    ("score", "score, cold"),
    ("score", "score, warm"),
    ("diagnose", "diagnose"),
    ("train", "two steps"),
)
_LONG_TOKENS = 921  # prompt and both responses of a pair, as in the HH-RLHF rows with a 32k BPE


def prepare_folder(folder: Path, kind: str, pairs: int) -> None:
    """Write model and rows into a folder, unless they are there."""
    from benchmarks import scale_data

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").is_dir():
        scale_data.write_model(folder / "model")
    path = folder / "pairs.jsonl"
    if path.exists():
        return
    if kind == "long":
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        scale_data.write_rows(scale_data.long_rows(pairs, _LONG_TOKENS, tokenizer), path)
    else:
        rows = scale_data.short_rows if kind == "short" else scale_data.hh_rows
        scale_data.write_rows(rows(pairs), path)


def measure(folder: Path, until: str) -> list[dict[str, Any]]:
    """Run the stages one after the other, each in a new process, and return what they took."""
    found = []
    for stage, name in STAGES:
        command = [sys.executable, "-m", "benchmarks.scale_stages", stage, str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append({"stage": name, **json.loads(done.stdout.splitlines()[-1])})
        print(_line(found[-1]), flush=True)
        if name == until:
            break
    return found


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['stage']:16} {row['seconds']:8.1f} s {row['cpu']:8.1f} CPU-s "
        f"{row['peak_mib']:7.0f} MiB peak {row['grown_mib']:+7.0f} MiB"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("--pairs", type=int, required=True)
    measuring.add_argument("--kind", choices=["short", "long", "hh"], default="short")
    measuring.add_argument("--folder", type=Path, required=True)
    measuring.add_argument("--until", default="two steps", choices=[name for _, name in STAGES])
    measuring.add_argument("--output", type=Path)
    predicting = verbs.add_parser("predict")
    predicting.add_argument("--pairs", type=float, required=True)
    predicting.add_argument("--tokens", type=float, default=921)
    predicting.add_argument("--parameters", type=float, default=8e9)
    predicting.add_argument("--ranks", type=int, default=64)
    predicting.add_argument("--nodes", type=int, default=8)
    options = parser.parse_args(arguments)
    if options.verb == "predict":
        show_prediction(options)
        return
    prepare_folder(options.folder, options.kind, options.pairs)
    found = measure(options.folder, options.until)
    if options.output:
        options.output.write_text(json.dumps({"pairs": options.pairs, "stages": found}, indent=1))


def show_prediction(options: argparse.Namespace) -> None:
    """Print what the cost model says of pairs as long as the real ones, or of other lengths."""
    from benchmarks import cost_model

    share = options.tokens / _LONG_TOKENS
    real = cost_model.Workload(options.pairs, parameters=options.parameters)
    work = dataclasses.replace(
        real,
        tokens=options.tokens,
        response_tokens=real.response_tokens * share,
        text_bytes=real.text_bytes * share,
    )
    machine = cost_model.Machine(ranks=options.ranks, nodes=options.nodes)
    for name, amount in cost_model.prediction(work, machine, cost_model.Rates()):
        print(f"{name:40} {amount}")


if __name__ == "__main__":
    main()
