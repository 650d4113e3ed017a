"""One command in several processes: started by accelerate, told of signals, one exit code.

A launcher ends what it started within seconds of a signal. Here signals go to the processes
themselves, which finish their step and save; the launcher waits for them.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tgdpo_core.errors import MachineError, UsageError

_FORWARDED = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_NOT_OURS = "SIGQUIT"  # the one signal that the launcher may act on by itself
_WITHOUT_CONFIG = {"num_machines": "1", "mixed_precision": "no", "dynamo_backend": "no"}
_PRIVATE = ("training_script", "training_script_args", "module", "no_python", "config_file")


@dataclass(frozen=True)
class Launch:
    """How many processes, and what accelerate is told about them.

    Attributes:
        num_processes: over all machines; None: what the config says.
        config: an accelerate config file, or None.
        options: further options of ``accelerate launch`` by name, such as ``machine_rank``.
    """

    num_processes: int | None = None
    config: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_wanted(self) -> bool:
        """Whether a launcher is needed at all: not for one process without a config."""
        return bool(self.config or self.options) or (self.num_processes or 1) > 1


def is_launched() -> bool:
    """Return whether this process is one of those that a launcher started."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def is_in_process_group() -> bool:
    """Return whether torch connects this process with others; torch itself is not imported."""
    distributed: Any = sys.modules.get("torch.distributed")
    return bool(distributed and distributed.is_available() and distributed.is_initialized())


def leave_process_group() -> None:
    """End the threads that connect this process with others, at the end of a program.

    One of them that wants the interpreter while that shuts down aborts the process (SIGABRT), and
    a launcher takes this for the failure of a run that is done.
    """
    if is_in_process_group():
        sys.modules["torch.distributed"].destroy_process_group()


def launch(module: str, arguments: Sequence[str], how: Launch) -> int:
    """Run a module in several processes and return the exit code of the command.

    That of the first process that failed, 0 if none did.

    Args:
        module: is run as ``python -m``.
        arguments: of the module.
        how: the processes.

    Raises:
        UsageError: accelerate refuses the options or the config.
        MachineError: a process was ended by a signal that nobody sent through this one.
    """
    from accelerate.commands.launch import launch_command
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    settings = _settings(module, arguments, how)
    with _forwarded_signals() as received, _quiet():
        try:
            launch_command(settings)
        except ChildFailedError as error:
            return _exit_code(error.failures, received)
        except (ValueError, ConnectionError) as error:
            raise UsageError(f"The processes cannot be started: {error}") from error
    return 0


def _settings(module: str, arguments: Sequence[str], how: Launch) -> Any:
    """Return accelerate's settings of a launch."""
    from accelerate.commands.config.config_args import default_config_file
    from accelerate.commands.launch import launch_command_parser

    parser = launch_command_parser()
    own = Path(default_config_file)
    config = how.config or (own if own.is_file() else None)
    content = _content(config)
    options = {"config_file": str(config)} if config else _WITHOUT_CONFIG
    if content.get("main_process_port") is None:
        options = {**options, "main_process_port": "0"}
    options = {**options, **_checked(how.options, parser)}
    if how.num_processes:
        options["num_processes"] = str(how.num_processes)
    if _kind(content, config) != "FSDP":
        # Without this accelerate starts one process on a CPU, whatever it is asked for.
        options["multi_gpu"] = ""
    if "OMP_NUM_THREADS" not in os.environ:
        threads = str(_threads({**content, **options}))
        options = {"num_cpu_threads_per_process": threads, **options}
    given = [part for key, value in options.items() for part in (f"--{key}", value) if part]
    settings = parser.parse_args([*given, "--module", module, *arguments])
    settings.signals_to_handle = _NOT_OURS
    return settings


def _threads(settings: Mapping[str, Any]) -> int:
    """Return the threads of each process of this machine: its cores, shared out."""
    here = int(settings.get("num_processes") or 1) // int(settings.get("num_machines") or 1)
    return max(1, len(os.sched_getaffinity(0)) // max(1, here))


def _checked(options: Mapping[str, str], parser: Any) -> dict[str, str]:
    known = {action.dest for action in parser._actions} - set(_PRIVATE)
    for name in options:
        if name.replace("-", "_") not in known:
            from tgdpo_core.errors import did_you_mean

            near = did_you_mean(name, known).partition("Available:")[0]
            raise UsageError(
                f"--launch {name}: no option of accelerate launch. {near}See: accelerate launch -h."
            )
    return {name.replace("-", "_"): value for name, value in options.items()}


def _content(config: Path | None) -> Mapping[str, Any]:
    import yaml

    if config is None:
        return {}
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UsageError(f"The accelerate config {config} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"The accelerate config {config} holds no settings.")
    return content


def _kind(content: Mapping[str, Any], config: Path | None) -> str:
    """Return what kind of run a config is for.

    Raises:
        UsageError: a kind that cannot be trained with.
    """
    named = str(content.get("distributed_type", "MULTI_GPU"))
    if named == "DEEPSPEED":
        raise UsageError(
            f"{config}: DeepSpeed is not supported; use FSDP2 in its place: "
            "tgdpo recipes copy accelerate/fsdp2 FILE."
        )
    if named not in ("NO", "MULTI_GPU", "MULTI_CPU", "FSDP"):
        raise UsageError(f"{config}: distributed_type {named} is not supported (MULTI_GPU, FSDP).")
    return named


def _exit_code(failures: Mapping[int, Any], received: Sequence[int]) -> int:
    """Return the exit code of the process that failed first."""
    first = min(failures.values(), key=lambda failure: failure.timestamp)
    if first.exitcode > 0:
        return int(first.exitcode)
    if -first.exitcode in received:  # it came before a process could save anything
        return 128 - int(first.exitcode)
    name = signal.Signals(-first.exitcode).name
    raise MachineError(
        f"A process of the run (pid {first.pid}, local rank {first.local_rank}) was ended by {name}"
        f"{' (by the system, when memory is short)' if name == 'SIGKILL' else ''}; the others were "
        "ended, too. What was saved is kept: go on with --resume."
    )


@contextlib.contextmanager
def _forwarded_signals() -> Iterator[list[int]]:
    """Pass signals on to the processes; yield those that came."""
    import psutil

    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                child.send_signal(number)

    before = {
        number: signal.signal(number, forward)
        for number in _FORWARDED
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let the processes speak for themselves: no tables and warnings of the launcher."""
    logger = logging.getLogger("torch.distributed.elastic")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
