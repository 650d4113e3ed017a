"""One training step, side by side: the official recipe, TRL, ours.

    python -m benchmarks.peers                       # hh pairs, 32k vocabulary, five rounds, CPU
    python -m benchmarks.peers --data sharegpt
    python -m benchmarks.peers --data 512:64 --data 256:256 --data 64:512 --plot cost.png
    python -m benchmarks.peers --device cuda --shape llama-3-8b --dtype bfloat16 --rounds 3

Every method runs in a process of its own, on the same pairs in the same order, with the same
optimizer: one warm-up step, then the measured ones. Methods take turns, round by round, so that a
busy machine is unfair to none. On a CPU, CPU-seconds are the measure: wall time depends on who else
is at work. Ratios are of medians over rounds.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

_BASELINES = ("official mb4", "official mb1", "TRL best (precomputed, GPU head, mb1)")
_CACHE = Path(tempfile.gettempdir()) / "tgdpo-benchmarks"
_PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16


@click.command()
@click.option("--data", multiple=True, default=["hh"], help="hh, sharegpt, gsm8k, or P:R lengths.")
@click.option("--vocab", multiple=True, type=int, default=[32_000], help="Vocabulary sizes.")
@click.option("--shape", default="llama-12x256", show_default=True)
@click.option("--method", "methods", multiple=True, help="Only these (default: all).")
@click.option("--rounds", default=5, show_default=True)
@click.option("--pairs", default=8, show_default=True, help="Measured pairs of a round.")
@click.option("--step", default=4, show_default=True, help="Pairs of an optimizer step.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--tokens-per-row", default=4096, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="JSON of every run.")
@click.option("--plot", type=click.Path(path_type=Path), help="PNG of cost against --data/--vocab.")
@click.option("--child", hidden=True, help="Run one method in this process.")
def main(  # noqa: PLR0913 - one parameter per option is click's form
    data: Sequence[str],
    vocab: Sequence[int],
    methods: Sequence[str],
    rounds: int,
    output: Path | None,
    plot: Path | None,
    child: str | None,
    **settings: Any,
) -> None:
    """Measure one training step of the official recipe, TRL and ours side by side."""
    if child:
        _run_child(child, data[0], vocab[0], settings)
        return
    from benchmarks.methods import METHODS

    chosen = list(methods) or list(METHODS)
    runs = []
    for workload in data:
        for size in vocab:
            for number in range(rounds):
                for method in chosen:
                    run = _spawn(method, workload, size, settings)
                    runs.append({"data": workload, "vocab": size, "round": number, **run})
                    click.echo(_line(runs[-1]), err=True)
            _show(workload, size, [r for r in runs if (r["data"], r["vocab"]) == (workload, size)])
    if output:
        facts = {"machine": _machine(), "settings": settings, "runs": runs}
        output.write_text(json.dumps(facts, indent=1) + "\n")
    if plot:
        _plot(runs, plot)


def _run_child(method: str, data: str, vocab: int, settings: dict[str, Any]) -> None:
    import torch

    from benchmarks.methods import METHODS, Task
    from benchmarks.workload import load_pairs

    torch.set_num_threads(settings["threads"])
    step = settings["step"]
    task = Task(
        pairs=load_pairs(data, settings["pairs"] + step, step, _CACHE),
        step=step,
        shape=settings["shape"],
        vocab_size=vocab,
        device=settings["device"],
        dtype=getattr(torch, settings["dtype"]),
        tokens_per_row=settings["tokens_per_row"],
    )
    result = METHODS[method](method, task).as_dict()
    result["mfu"] = _mfu(task, result["seconds_per_pair"])
    click.echo("RESULT " + json.dumps(result))


def _spawn(method: str, data: str, vocab: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one method in a fresh process, so that no memory of another is in its peak."""
    flags = [part for k, v in settings.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers", "--child", method]
    command += ["--data", data, "--vocab", str(vocab), *flags]
    quiet = {
        "OMP_NUM_THREADS": str(settings["threads"]),
        "OMP_WAIT_POLICY": "PASSIVE",  # a waiting thread must not burn CPU-seconds
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **quiet}, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise click.ClickException(f"{method} on {data}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def _show(data: str, vocab: int, runs: Sequence[dict[str, Any]]) -> None:
    """Print medians, their spread, and ratios to the baselines."""
    from rich.console import Console
    from rich.table import Table

    on_gpu = any(run["mfu"] is not None for run in runs)
    measure = "seconds_per_pair" if on_gpu else "cpu_seconds_per_pair"
    methods = list(dict.fromkeys(run["method"] for run in runs))

    def values(method: str, name: str) -> list[float]:
        return [run[name] for run in runs if run["method"] == method]

    def median(method: str, name: str) -> float:
        return statistics.median(values(method, name))

    baselines = [name for name in _BASELINES if name in methods]
    table = Table(title=f"{data}, vocabulary {vocab}", box=None, pad_edge=False)
    header = ["method", "CPU-s/pair (min-max)", "s/pair", "tokens/pair", "peak MiB", "above static"]
    for column in [*header, *(f"x {name.split(' (')[0]}" for name in baselines), "MFU"][
        : None if on_gpu else -1
    ]:
        table.add_column(column)
    for method in methods:
        cost = values(method, "cpu_seconds_per_pair")
        above = median(method, "peak_mib") - median(method, "static_mib")
        row = [
            method,
            f"{statistics.median(cost):.3f} ({min(cost):.3f}-{max(cost):.3f})",
            f"{median(method, 'seconds_per_pair'):.3f}",
            f"{median(method, 'tokens_per_pair'):.0f}",
            f"{median(method, 'peak_mib'):.0f}",
            f"{above:.0f}",
        ]
        row += [f"{median(base, measure) / median(method, measure):.2f}" for base in baselines]
        if on_gpu:
            row.append(f"{100 * median(method, 'mfu'):.0f} %")
        table.add_row(*row)
    Console(width=200).print(table)


def _line(run: dict[str, Any]) -> str:
    return (
        f"round {run['round']} {run['data']} {run['vocab']} {run['method']}: "
        f"{run['cpu_seconds_per_pair']:.3f} CPU-s/pair"
    )


def _mfu(task: Any, seconds_per_pair: float) -> float | None:
    """Return useful FLOPs (each distinct token once, logits of responses) over the GPU's peak."""
    if not task.device.startswith("cuda"):
        return None
    import torch

    name = torch.cuda.get_device_name()
    peak = next((flops for key, flops in _PEAK_FLOPS.items() if key in name), None)
    if peak is None:
        return None
    model = task.model().to("meta")
    head = model.lm_head.weight.numel()
    body = sum(p.numel() for p in model.model.layers.parameters())
    measured = task.pairs[task.step :]
    tokens = sum(pair.shared_length for pair in measured) / len(measured)
    answers = sum(len(p.chosen) + len(p.rejected) for p in measured) / len(measured)
    return float(6 * (body * tokens + head * answers) / seconds_per_pair / peak)


def _plot(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the cost of every method over the workloads, one panel for each vocabulary."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = list(dict.fromkeys(run["vocab"] for run in runs))
    workloads = list(dict.fromkeys(run["data"] for run in runs))
    figure, axes = plt.subplots(1, len(sizes), figsize=(6 * len(sizes), 4.5), squeeze=False)
    for axis, size in zip(axes[0], sizes, strict=True):
        for method in dict.fromkeys(run["method"] for run in runs):
            cost = [
                statistics.median(
                    run["cpu_seconds_per_pair"]
                    for run in runs
                    if (run["method"], run["vocab"], run["data"]) == (method, size, workload)
                )
                for workload in workloads
            ]
            axis.plot(range(len(workloads)), cost, marker="o", label=method)
        axis.set_xticks(range(len(workloads)), workloads)
        axis.set_yscale("log")
        axis.set_xlabel("data, or prompt:answer tokens")
        axis.set_ylabel("CPU-seconds per pair")
        axis.set_title(f"vocabulary {size}")
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def _machine() -> dict[str, str]:
    import torch
    import transformers
    import trl

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"cpu": cpu, "gpu": gpu, "trl": trl.__version__, **versions}


if __name__ == "__main__":
    main()
