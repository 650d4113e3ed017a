"""The options that start a command in several processes."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tgdpo_cli import completion
from tgdpo_cli.option_sets import option_set

_STARTED = "TGDPO_LAUNCHED"
_ARGUMENTS = "tgdpo.arguments"

_OPTIONS = [
    click.option(
        "--num-processes",
        type=click.IntRange(min=1),
        help="Start N processes, one a GPU (over all machines); on a CPU they share its cores.",
    ),
    click.option(
        "--accelerate-config",
        metavar="FILE",
        shell_complete=completion.accelerate_configs,
        help="What accelerate does with them: a file, or accelerate/* of `tgdpo recipes list`.",
    ),
    click.option(
        "--launch",
        "launch_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any option of accelerate launch, e.g. machine_rank=1.",
    ),
]


process_options = option_set(_OPTIONS)
"""Adds the options to a command."""


def keep_arguments(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Note what a command line says, for the processes that are to say it again."""
    ctx.meta[_ARGUMENTS] = list(arguments)


def start_processes(values: Mapping[str, Any]) -> int | None:
    """Run this command in several processes, if that is asked for, and return its exit code.

    None: it runs here.
    """
    from tgdpo_cli.shipped_recipes import accelerate_config
    from tgdpo_core.launching import Launch, is_launched, launch

    options = dict(_key_value(text) for text in values["launch_options"])
    named = values["accelerate_config"]
    how = Launch(values["num_processes"], accelerate_config(named) if named else None, options)
    if not how.is_wanted or os.environ.get(_STARTED) == str(os.getppid()):
        return None
    if is_launched():
        raise click.UsageError(
            "This process was started by a launcher, which decides how many there are: leave "
            "--num-processes, --accelerate-config and --launch out."
        )
    os.environ[_STARTED] = str(os.getpid())
    if sys.path[0] not in ("", os.getcwd()):  # `python -m` would put the current folder first
        os.environ["PYTHONSAFEPATH"] = "1"
    return launch("tgdpo_cli.main", _arguments(), how)


def require_one_gpu(use_cpu: bool) -> None:
    """Refuse to train in one process that sees several GPUs, with the command that uses them."""
    from tgdpo_core.launching import is_launched

    if use_cpu or is_launched():
        return
    import torch

    if (number := torch.cuda.device_count()) > 1:
        again = shlex.join(["tgdpo", *_arguments(), "--num-processes", str(number)])
        raise click.UsageError(
            f"This machine has {number} GPUs, and one process uses one. All of them:\n  {again}\n"
            "Only the first: set CUDA_VISIBLE_DEVICES=0."
        )


def _arguments() -> list[str]:
    return list(click.get_current_context().meta[_ARGUMENTS])


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--launch {text}: write KEY=VALUE.")
    return key, value
