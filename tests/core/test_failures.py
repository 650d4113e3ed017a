"""What machines, networks, libraries and files do is named, with its exit code; bugs stay bugs."""

import errno
import importlib
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file
from tokenizers import Tokenizer, models

from tgdpo_core.errors import DataError, TgdpoError
from tgdpo_core.failures import exit_code_of, translated


def raised(function: Callable[[], Any]) -> BaseException:
    """Return what a function raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - of any type
        function()
    return caught.value


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def tokenizer_without_unknown() -> None:
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words)("b")


def deep_yaml() -> None:
    yaml.safe_load("[" * 20_000)


def deep_json() -> None:
    json.loads("[" * 100_000)


def damaged(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def of_library(module: str, name: str) -> Exception:
    """Return an exception as a library would raise it, which need not be installed."""
    made: Exception = type(name, (Exception,), {"__module__": module})("it failed")
    return made


CASES: dict[str, tuple[Callable[[Path], BaseException], int, str]] = {
    "a package that is missing": (
        lambda _: raised(lambda: importlib.import_module("no_such_package_here")),
        2,
        "pip install no-such-package-here",
    ),
    "offline": (lambda _: OfflineModeIsEnabled("offline"), 2, "HF_HUB_OFFLINE"),
    "no repository": (
        lambda _: LocalEntryNotFoundError("neither here nor there"),
        2,
        "hf auth login",
    ),
    **{
        f"the network, by {module}": (
            lambda _, module=module: of_library(module, "ConnectError"),
            2,
            "network",
        )
        for module in ("httpx", "httpx2", "requests.exceptions", "urllib3.exceptions")
    },
    "a timeout": (lambda _: TimeoutError("slow"), 2, "network"),
    "a refused connection": (lambda _: ConnectionRefusedError(111, "refused"), 2, "network"),
    "caused by the network": (
        lambda _: caused(RuntimeError("cannot"), of_library("httpx", "ConnectError")),
        2,
        "network",
    ),
    "a tracker": (
        lambda _: type("CommError", (Exception,), {"__module__": "wandb.errors"})("no key"),
        2,
        "training.report_to=none",
    ),
    "a tokenizer": (lambda _: raised(tokenizer_without_unknown), 3, "tokenizer cannot read"),
    "a panic of the tokenizer": (
        lambda _: type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("x"),
        3,
        "tokenizer cannot read",
    ),
    "not UTF-8": (lambda _: raised(lambda: b"\xff".decode()), 3, "utf-8"),
    "deep YAML": (lambda _: raised(deep_yaml), 2, "nested too deeply"),
    "deep JSON": (lambda _: raised(deep_json), 3, "nested too deeply"),
    "a NUL in a path": (lambda _: raised(lambda: Path("a\0b").read_text()), 2, "NUL"),
    "a name that is too long": (
        lambda _: raised(lambda: Path("x" * 300).read_text()),
        2,
        "too long",
    ),
    "a full disk": (lambda _: OSError(errno.ENOSPC, "No space left", "/x/y"), 5, "/x/y"),
    "no permission": (lambda _: PermissionError(errno.EACCES, "denied", "/x/y"), 5, "permission"),
    "a read-only disk": (lambda _: OSError(errno.EROFS, "Read-only", "/x/y"), 5, "read-only"),
    "too many open files": (lambda _: OSError(errno.EMFILE, "Too many", "/x/y"), 5, "ulimit"),
    "a full disk under safetensors": (
        lambda _: type("SafetensorError", (Exception,), {"__module__": "safetensors_rust"})(
            "I/O error: No space left on device (os error 28)"
        ),
        5,
        "disk is full",
    ),
    "a full disk under torch.save": (
        lambda _: RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos"),
        5,
        "could not be read or written",
    ),
    "an empty .pt": (
        lambda tmp: raised(lambda: torch.load(damaged(tmp, "a.pt", b""))),
        5,
        "damaged",
    ),
    "a .pt of noise": (
        lambda tmp: raised(lambda: torch.load(damaged(tmp, "b.pt", b"noise" * 9))),
        5,
        "damaged",
    ),
    "half a .pt": (
        lambda tmp: raised(lambda: torch.load(damaged(tmp, "c.pt", b"PK\x03\x04" + b"0" * 99))),
        5,
        "damaged",
    ),
    "an empty safetensors file": (
        lambda tmp: raised(lambda: load_file(damaged(tmp, "d.safetensors", b""))),
        5,
        "damaged",
    ),
    "a pickle of noise": (lambda _: pickle.UnpicklingError("invalid load key"), 5, "damaged"),
    "a bad zip": (lambda _: zipfile.BadZipFile("not a zip"), 5, "damaged"),
    "half a JSON file": (lambda _: raised(lambda: json.loads('{"step": ')), 5, "damaged"),
    "no memory": (lambda _: MemoryError(), 7, "ran out of memory"),
    "no memory for a tensor": (
        lambda _: raised(lambda: torch.empty(2**60, dtype=torch.uint8)),
        7,
        "ran out of memory",
    ),
    "no memory on the GPU": (lambda _: torch.OutOfMemoryError("CUDA out of memory"), 7, "memory"),
    "a device that failed": (
        lambda _: torch.AcceleratorError("CUDA error: an illegal memory access", 700),
        7,
        "device failed",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_bug_has_its_exit_code_and_says_what_to_do(case: str, tmp_path: Path) -> None:
    make, code, said = CASES[case]
    error = make(tmp_path)
    known = translated(error)
    assert known is not None, repr(error)
    assert (known.exit_code, exit_code_of(error)) == (code, code)
    assert said in str(known), str(known)


def our_own() -> BaseException:
    return raised(lambda: importlib.import_module("tgdpo_core.no_such_room"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: raised(lambda: {}["x"]),
        lambda: AssertionError("x"),
        lambda: TypeError("x"),
        lambda: raised(lambda: int("x")),
        lambda: RuntimeError("shapes do not fit"),
        lambda: Exception("x"),
        our_own,
    ],
)
def test_a_bug_stays_a_bug(make: Callable[[], BaseException]) -> None:
    error = make()
    assert translated(error) is None
    assert exit_code_of(error) == 1


def test_our_own_errors_are_what_they_are() -> None:
    error = DataError("row 3")
    assert translated(error) is error
    assert translated(caused(RuntimeError("while loading"), error)) is error


def test_an_interrupt_is_130() -> None:
    assert exit_code_of(KeyboardInterrupt()) == 130


def test_a_process_whose_peer_died_says_so_and_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert translated(error) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    known = translated(error)
    assert isinstance(known, TgdpoError)
    assert known.exit_code == 7
    assert "another process of the run failed" in str(known)


def test_the_table_imports_neither_torch_nor_transformers() -> None:
    import subprocess

    code = "import sys, tgdpo_core.failures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
