"""What the machine, the network, libraries and files do to a run, as errors of the tree.

One table, read from top to bottom, by type, message and place of an exception and of what caused
it. Nothing is imported for it: classes are known by their names. What no row knows is a bug of
ours, or a plugin's that was called past the guard.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tgdpo_core.errors import (
    CheckpointError,
    DataError,
    MachineError,
    RecipeError,
    StoreError,
    TgdpoError,
    UsageError,
)

_KEPT = "What was stored and saved before is kept."
_LONGEST = 2000  # characters of a library's message
_NETWORK = (
    *("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"),
    *("aiohttp", "ssl"),
)
_TRACKERS = (
    *("wandb", "mlflow", "trackio", "comet_ml", "clearml", "neptune", "swanlab", "dvclive"),
    *("codecarbon", "azureml", "flytekit", "dagshub"),
)
_DATA = ("datasets", "pyarrow", "fsspec", "jinja2")
_OWN = ("tgdpo_core", "tgdpo_cli", "tgdpo_plugins")
_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|CUDA error|CUBLAS_STATUS|cuDNN error"
    r"|HIP error|device-side assert|MPS backend",
    re.IGNORECASE,
)
_PEERS = re.compile(
    r"gloo|nccl|connection (closed|reset) by peer|connection was closed|socket timeout"
    r"|\bTCPStore\b|process group|broken pipe|pair closure",
    re.IGNORECASE,
)
_DISK = re.compile(r"PytorchStreamWriter|inline_container\.cc|file write failed")
_DAMAGED = re.compile(
    r"PytorchStreamReader|Weights only load failed|invalid magic number|MetadataI"
)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space.",
    errno.EDQUOT: "The disk quota is used up: free some space.",
    errno.EACCES: "The permission is missing.",
    errno.EPERM: "The permission is missing.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n).",
    errno.ENFILE: "Too many files are open on this machine.",
}


class _Failure(NamedTuple):
    """An exception with what the table looks at."""

    error: BaseException
    names: tuple[str, ...]
    text: str
    files: tuple[str, ...]

    def of(self, *packages: str) -> bool:
        """Return whether its type, or one that it inherits from, belongs to a package."""
        return any(name.partition(".")[0] in packages for name in self.names)

    def passed(self, *parts: str) -> bool:
        """Return whether it passed through a file whose path holds one of the parts."""
        return any(part in file for file in self.files for part in parts)

    @property
    def said(self) -> str:
        """How messages quote it."""
        return (
            f"{type(self.error).__name__}: {self.text[:_LONGEST]}"
            if self.text
            else (type(self.error).__name__)
        )


def translated(error: BaseException) -> TgdpoError | None:
    """Return what a user is told of an exception; None for a bug.

    Args:
        error: any exception but ``KeyboardInterrupt`` and ``SystemExit``.
    """
    for cause in _chain(error):
        if isinstance(cause, TgdpoError):
            return cause
        failure = _failure(cause)
        for row in _TABLE:
            known = row(failure)
            if known is not None:
                return known
    return None


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that an exception ends a command with; 1 for a bug, 130 for Ctrl-C."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    known = translated(error)
    return known.exit_code if known else 1


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then what it was raised from."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _failure(error: BaseException) -> _Failure:
    names = tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    files = []
    trace = error.__traceback__
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return _Failure(error, names, str(error).strip(), tuple(files))


# -- the table ------------------------------------------------------------------------------------


def _memory(failure: _Failure) -> TgdpoError | None:
    is_memory = isinstance(failure.error, MemoryError) or _errno(failure) == errno.ENOMEM
    is_device = failure.of("torch") and _last_name(failure) in (
        "OutOfMemoryError",
        "AcceleratorError",
    )
    says_so = isinstance(failure.error, RuntimeError) and _MEMORY.search(failure.text)
    if not (is_memory or is_device or says_so):
        return None
    return MachineError(
        f"The machine ran out of memory, or its device failed ({failure.said}). {_KEPT} Lower "
        "engine.tokens_per_row, data.max_length or the batch size, then continue with --resume."
    )


def _other_process(failure: _Failure) -> TgdpoError | None:
    is_distributed = int(os.environ.get("WORLD_SIZE") or 1) > 1
    is_theirs = _last_name(failure).startswith("Dist") or _PEERS.search(failure.text)
    if not (is_distributed and isinstance(failure.error, RuntimeError | OSError) and is_theirs):
        return None
    return MachineError(
        "Stopped because another process of the run failed; its own message says why. "
        f"({failure.said})"
    )


def _unused_parameters(failure: _Failure) -> TgdpoError | None:
    if "find_unused_parameters=True" not in failure.text:
        return None
    return UsageError(
        "Some trained parameters take no part in the loss, so that processes wait for their "
        "gradients: set training.ddp_find_unused_parameters=true, or freeze them "
        f"(requires_grad=False). ({failure.said[:400]})"
    )


def _missing_package(failure: _Failure) -> TgdpoError | None:
    error = failure.error
    if not isinstance(error, ImportError) or (error.name or "").startswith(_OWN):
        return None
    name = (error.name or "").partition(".")[0]
    install = f" Install it: pip install {name.replace('_', '-')}." if name else ""
    return UsageError(f"A package is missing or cannot be imported: {failure.text}.{install}")


def _tracker(failure: _Failure) -> TgdpoError | None:
    if not failure.of(*_TRACKERS) and not failure.passed("integration_utils.py"):
        return None
    return UsageError(
        f"A tracker failed ({failure.said}). {_KEPT} Mend its settings, or train without it: "
        "--set training.report_to=none."
    )


def _network(failure: _Failure) -> TgdpoError | None:
    is_connection = isinstance(failure.error, ConnectionError | TimeoutError)
    is_lookup = _last_name(failure) == "gaierror"
    if not (failure.of(*_NETWORK) or is_connection or is_lookup):
        return None
    return UsageError(
        f"The network or the Hub could not be used ({failure.said}). {_KEPT} Check the name, the "
        "connection and HF_HUB_OFFLINE; a private or gated repository needs `hf auth login`."
    )


def _damaged_file(failure: _Failure) -> TgdpoError | None:
    is_damage = (
        isinstance(failure.error, EOFError)
        or _last_name(failure) in ("UnpicklingError", "BadZipFile", "JSONDecodeError")
        or (failure.of("safetensors_rust", "safetensors") and not _OS_ERROR.search(failure.text))
        or (isinstance(failure.error, RuntimeError) and _DAMAGED.search(failure.text))
    )
    if not is_damage:
        return None
    return CheckpointError(
        f"A file that was saved is damaged or ended too early ({failure.said}). Remove the "
        "checkpoint or the file it belongs to; --resume goes on from the one before."
    )


def _file_system(failure: _Failure) -> TgdpoError | None:
    code = _errno(failure)
    if code is None:
        return None
    if code == errno.ENAMETOOLONG:
        return UsageError(f"A path is too long for the file system ({failure.said[:200]}).")
    advice = _ADVICE.get(code, "Look at the path and the disk.")
    return StoreError(f"A file could not be read or written ({failure.said}). {advice} {_KEPT}")


def _too_deep(failure: _Failure) -> TgdpoError | None:
    if not isinstance(failure.error, RecursionError):
        return None
    if failure.passed(f"{os.sep}yaml{os.sep}"):
        return RecipeError("The YAML is nested too deeply to be read.")
    if failure.passed(f"{os.sep}json{os.sep}", "sources.py", "formats.py"):
        return DataError("A row of the data is nested too deeply to be read.")
    return None


def _data(failure: _Failure) -> TgdpoError | None:
    if failure.of(*_DATA) or isinstance(failure.error, UnicodeError):
        return DataError(f"The data cannot be read ({failure.said}).")
    return None


def _tokenizer(failure: _Failure) -> TgdpoError | None:
    # The tokenizers library raises Exception itself, and panics with a class of its own.
    is_theirs = type(failure.error) is Exception and failure.passed(
        "tokenization_utils", f"{os.sep}tokenizers{os.sep}"
    )
    if not is_theirs and _last_name(failure) != "PanicException":
        return None
    return DataError(
        f"The tokenizer cannot read the data ({failure.said}). Its vocabulary may lack what the "
        "texts need, such as an unknown token."
    )


def _null_byte(failure: _Failure) -> TgdpoError | None:
    if isinstance(failure.error, ValueError) and "null byte" in failure.text:
        return UsageError("A path holds a NUL character.")
    return None


_TABLE: tuple[Callable[[_Failure], TgdpoError | None], ...] = (
    _memory,
    _unused_parameters,
    _other_process,
    _missing_package,
    _tracker,
    _network,
    _damaged_file,
    _file_system,
    _too_deep,
    _tokenizer,
    _data,
    _null_byte,
)


def _last_name(failure: _Failure) -> str:
    return type(failure.error).__name__


def _errno(failure: _Failure) -> int | None:
    """Return the number of an operating system's error, wherever a library put it."""
    if isinstance(failure.error, OSError):
        return failure.error.errno or 0
    quoted = _OS_ERROR.search(failure.text)
    if quoted:
        return int(quoted.group(1))
    if isinstance(failure.error, RuntimeError) and _DISK.search(failure.text):
        return errno.ENOSPC if "enough space" in failure.text else 0
    return None
