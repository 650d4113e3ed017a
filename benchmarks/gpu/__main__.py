"""Everything that needs a card, in order of worth, each part saved as it ends.

    python -m benchmarks.gpu --output gpu            # all parts; none begins after ten minutes
    python -m benchmarks.gpu --part kernels --part steps-135M
    python -m benchmarks.gpu --device cpu --small    # that every part runs, on tiny models
    python -m benchmarks.gpu --world --model smollm2 --seconds 1500    # the grid of `smol-mood`

Every part runs in a process of its own, with a limit; ``OUTPUT/PART.jsonl`` holds a line for
each result, and ``OUTPUT/report.md`` the tables. Nothing is fetched.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

Part = Callable[..., Iterator[dict[str, Any]]]


def _parts() -> dict[str, tuple[Part, int]]:
    """Return each part and its limit in seconds, in order of worth."""
    from benchmarks.gpu import exactness, large_model, launches, product, scoring, soft_caps, steps
    from benchmarks.gpu.workloads import SHAPES, WORKLOADS

    parts: dict[str, tuple[Part, int]] = {
        "machine": (_machine, 60),
        "kernels": (exactness.measure, 240),
        "launches": (launches.measure, 90),
        "soft-caps": (soft_caps.measure, 90),
    }
    for shape in SHAPES:
        for workload in WORKLOADS:
            name = f"steps-{shape}-{workload.replace(':', 'x')}"
            parts[name] = (partial(_steps, steps, shape, workload), 120)
    parts["scoring"] = (scoring.measure, 60)
    parts["product"] = (product.measure, 120)
    parts["8bit"] = (large_model.measure, 120)
    return parts


def _steps(
    steps: Any, shape: str, workload: str, device: str, *, small: bool
) -> Iterator[dict[str, Any]]:
    return steps.measure(device, shape, workload, small=small)  # type: ignore[no-any-return]


@click.command()
@click.option("--part", "wanted", multiple=True, help="Only parts that begin so.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("gpu"), show_default=True)
@click.option("--device", default="cuda", show_default=True)
@click.option(
    "--small", is_flag=True, help="Tiny models and rows: the parts run, figures mean nothing."
)
@click.option("--seconds", default=590, show_default=True, help="When no further part begins.")
@click.option("--world", is_flag=True, help="The real-model grid in place of the parts; goes on.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Of --world: examples/smollm2.py makes it.",
)
@click.option("--jobs", default=4, show_default=True, help="Of --world: runs at a time.")
@click.option("--child", hidden=True)
def main(  # noqa: PLR0913 - one for each option
    wanted: Sequence[str],
    output: Path,
    device: str,
    small: bool,
    seconds: int,
    world: bool,
    model: Path | None,
    jobs: int,
    child: str | None,
) -> None:
    """Measure what needs a card."""
    if child:
        _run_child(child, device, small=small)
        return
    output.mkdir(parents=True, exist_ok=True)
    if world:
        _run_world(model, output, device, jobs=jobs, seconds=seconds, small=small)
        return
    end = time.monotonic() + seconds
    for name, (_, limit) in _parts().items():
        if wanted and not name.startswith(tuple(wanted)):
            continue
        left = end - time.monotonic()
        if left < 15:
            click.echo(f"{name}: no time left")
            continue
        _run_part(name, min(limit, int(left)), output, device, small=small)
    from benchmarks.gpu import report

    text = report.markdown(output)
    (output / "report.md").write_text(text)
    click.echo(text)


def _run_world(
    model: Path | None, output: Path, device: str, *, jobs: int, seconds: int, small: bool
) -> None:
    """Run the real-model grid as far as the time goes."""
    from benchmarks.gpu import world

    if model is None:
        raise click.UsageError("--world needs --model FOLDER: python examples/smollm2.py smollm2")
    facts = world.run(model, output, device, jobs=jobs, seconds=seconds, small=small)
    click.echo(f"world: {facts['runs']} of {facts['of']} runs, {facts['seconds']} s")
    if facts["runs"] < facts["of"] or facts["exit"]:
        click.echo((output / "world.log").read_text()[-1500:])
        raise SystemExit(f"Not done (exit {facts['exit']}): the same command goes on.")
    click.echo(f"Tables: {output / 'world' / 'results.md'}")


def _run_part(name: str, limit: int, output: Path, device: str, *, small: bool) -> None:
    """Run a part in its own process; what it yields is in its file at once."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", name, "--device", device]
    command += ["--small"] if small else []
    started = time.monotonic()
    # The parts are fed rows from one thread; several only get in each other's way.
    environment = {
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **os.environ,
    }
    with (output / f"{name}.jsonl").open("w") as results, (output / f"{name}.log").open("w") as log:
        try:
            code = subprocess.run(
                command, stdout=results, stderr=log, timeout=limit, check=False, env=environment
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    note = {0: "", -1: f" (stopped at its limit of {limit} s)"}.get(code, f" (exit {code})")
    click.echo(f"{name}: {time.monotonic() - started:.0f} s{note}")
    if code > 0:
        click.echo((output / f"{name}.log").read_text()[-1500:])


def _run_child(name: str, device: str, *, small: bool) -> None:
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not a result
    part, _ = _parts()[name]
    for result in part(device, small=small):
        results.write(json.dumps(result) + "\n")
        results.flush()


def _machine(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield the card, the versions, and what it does at its best."""
    import accelerate
    import torch
    import transformers

    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "cores": os.cpu_count(),
    }
    if device == "cuda":
        facts["card"] = torch.cuda.get_device_name()
        facts["memory_gib"] = torch.cuda.get_device_properties(0).total_memory / 2**30
        facts["bf16_tflops"] = _product_rate()
    yield facts


def _product_rate() -> float:
    """Return TFLOP/s of bfloat16 products of 8192 x 8192 matrices."""
    import torch

    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        left @ right
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - started) / 1e12


if __name__ == "__main__":
    main()
