"""Settings of torch on which numbers depend, looked at around what a plugin does.

Importing it loads no torch. A plugin that is the first to import torch is held to the settings that
torch had when that import ended.
"""

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tgdpo_core.plugin_api.first_import import looked_at


class _Setting(NamedTuple):
    """A setting: how it is read, given torch, and put back, given torch and the value."""

    name: str
    read: Callable[[Any], Any]
    restore: Callable[[Any, Any], Any]


class _Values(NamedTuple):
    """The values of all settings at a time."""

    torch: Any
    values: list[Any]


@contextlib.contextmanager
def torch_kept(names: list[str]) -> Iterator[None]:
    """Put the settings of torch back that the block changes; add their names to a list."""
    found: list[_Values] = []

    def look(torch: Any) -> None:
        # A stand-in for torch, or one that another thread is importing, lacks some.
        with contextlib.suppress(AttributeError):
            found.append(_Values(torch, [setting.read(torch) for setting in _SETTINGS]))

    try:
        with looked_at("torch", look):
            yield
    finally:
        names += [name for before in found for name in _put_back(before)]


def _put_back(before: _Values) -> list[str]:
    """Put settings back; return the names of those that had changed."""
    torch = before.torch
    both = zip(_SETTINGS, before.values, strict=True)
    # All are looked at first: to put one back may move another.
    moved = [(setting, value) for setting, value in both if setting.read(torch) != value]
    for setting, value in moved:
        setting.restore(torch, value)
    return [setting.name for setting, _ in moved]


# -- modes ----------------------------------------------------------------------------------------

_DEVICES = ("cpu", "cuda", "mps")
_KEPT_MODES: list[Any] = []  # a mode ends where the object that entered it is forgotten


def _inference_mode(torch: Any, is_on: bool) -> None:
    mode = torch.inference_mode(is_on)
    mode.__enter__()
    _KEPT_MODES.append(mode)


def _autocast(torch: Any) -> tuple[Any, ...]:
    """Return how deep blocks of autocast are nested, whether casts are kept, and each device's."""
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    of_devices = [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in _DEVICES]
    return depth, torch.is_autocast_cache_enabled(), *of_devices


def _set_autocast(torch: Any, wanted: tuple[Any, ...]) -> None:
    depth, keeps_casts, *of_devices = wanted
    for device, (is_enabled, dtype) in zip(_DEVICES, of_devices, strict=True):
        torch.set_autocast_enabled(device, is_enabled)
        torch.set_autocast_dtype(device, dtype)
    torch.set_autocast_cache_enabled(keeps_casts)
    # Casts of weights are forgotten at depth 0: one too deep, and training goes on with old ones.
    excess = _autocast(torch)[0] - depth
    step = torch.autocast_decrement_nesting if excess > 0 else torch.autocast_increment_nesting
    for _ in range(abs(excess)):
        step()
    torch.clear_autocast_cache()


def _anomaly(torch: Any) -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _flushes_denormals(torch: Any) -> bool:
    # torch cannot be asked; what it sets is a switch of the processor, which Python's floats obey.
    return sys.float_info.min / 2 == 0


# -- precision ------------------------------------------------------------------------------------

_PRECISIONS = (
    *("", "cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn"),
    *("mkldnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"),
)
"""Parts of ``torch.backends`` with a float32 precision; those above another part come first."""


def _part(torch: Any, path: str) -> Any:
    return operator.attrgetter(path)(torch.backends) if path else torch.backends


def _or_none(read: Callable[[], Any]) -> Any:
    """Return a setting of the older interface; None where only the newer one has been used."""
    try:
        return read()
    except RuntimeError:
        return None


def _precision(torch: Any) -> tuple[Any, ...]:
    return (
        _or_none(torch.get_float32_matmul_precision),
        _or_none(lambda: torch.backends.cudnn.allow_tf32),
        *(_part(torch, path).fp32_precision for path in _PRECISIONS),
    )


def _set_precision(torch: Any, wanted: tuple[Any, ...]) -> None:
    """Set the older interface, which writes into the newer one, then what that has left wrong."""
    matmul, tf32, *precisions = wanted
    if matmul is not None:
        torch.set_float32_matmul_precision(matmul)
    if tf32 is not None:
        torch.backends.cudnn.allow_tf32 = tf32
    for path, value in zip(_PRECISIONS, precisions, strict=True):
        if _part(torch, path).fp32_precision == value:
            continue
        if path == "mkldnn":  # its attribute writes that of torch.backends
            torch.backends.mkldnn.set_flags(_fp32_precision=value)
        else:
            _part(torch, path).fp32_precision = value


def _reductions(torch: Any) -> tuple[tuple[bool, bool], ...]:
    matmul = torch.backends.cuda.matmul
    names = [f"allow_{dtype}_reduced_precision_reduction" for dtype in ("fp16", "bf16")]
    return tuple((getattr(matmul, n), getattr(matmul, f"{n}_split_k", True)) for n in names)


def _set_reductions(torch: Any, wanted: tuple[tuple[bool, bool], ...]) -> None:
    matmul = torch.backends.cuda.matmul
    matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction = (
        wanted
    )


# -- switches -------------------------------------------------------------------------------------


def _switch(path: str) -> _Setting:
    """Return the setting that is an attribute of ``torch.backends``."""
    part, _, name = path.rpartition(".")
    return _Setting(
        f"torch.backends.{path}",
        lambda torch: getattr(_part(torch, part), name),
        lambda torch, value: setattr(_part(torch, part), name, value),
    )


def _attention(is_on: str, switch: str) -> _Setting:
    """Return the setting that two functions of ``torch.backends.cuda`` read and write."""
    return _Setting(
        f"torch.backends.cuda.{switch}",
        lambda torch: getattr(torch.backends.cuda, is_on)(),
        lambda torch, value: getattr(torch.backends.cuda, switch)(value),
    )


_SWITCHES = (
    *("cuda.matmul.allow_fp16_accumulation", "cudnn.enabled", "cudnn.benchmark"),
    *("cudnn.deterministic", "mkldnn.enabled", "mkldnn.deterministic"),
)
_ATTENTION = {
    "flash_sdp_enabled": "enable_flash_sdp",
    "mem_efficient_sdp_enabled": "enable_mem_efficient_sdp",
    "math_sdp_enabled": "enable_math_sdp",
    "cudnn_sdp_enabled": "enable_cudnn_sdp",
    "fp16_bf16_reduction_math_sdp_allowed": "allow_fp16_bf16_reduction_math_sdp",
}
_SETTINGS = (
    # Before the gradient mode, which it moves, too.
    _Setting(
        "the inference mode of torch",
        lambda torch: torch.is_inference_mode_enabled(),
        _inference_mode,
    ),
    _Setting(
        "the gradient mode of torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, value: torch.set_grad_enabled(value),
    ),
    _Setting(
        "the default dtype of torch",
        lambda torch: torch.get_default_dtype(),
        lambda torch, value: torch.set_default_dtype(value),
    ),
    _Setting(
        "the default device of torch",
        lambda torch: str(torch.get_default_device()),
        lambda torch, value: torch.set_default_device(None if value == "cpu" else value),
    ),
    _Setting(
        "the number of threads of torch",
        lambda torch: torch.get_num_threads(),
        lambda torch, value: torch.set_num_threads(value),
    ),
    _Setting(
        "the determinism of torch",
        lambda torch: torch.get_deterministic_debug_mode(),
        lambda torch, value: torch.set_deterministic_debug_mode(value),
    ),
    _Setting("the autocast mode of torch", _autocast, _set_autocast),
    _Setting("the float32 precision of torch", _precision, _set_precision),
    _Setting("the reduced precision of sums of torch", _reductions, _set_reductions),
    _Setting(
        "the anomaly mode of torch",
        _anomaly,
        lambda torch, value: torch.autograd.set_detect_anomaly(*value),
    ),
    _Setting(
        "the flushing of denormal numbers",
        _flushes_denormals,
        lambda torch, value: torch.set_flush_denormal(value),
    ),
    *map(_switch, _SWITCHES),
    *(_attention(is_on, switch) for is_on, switch in _ATTENTION.items()),
)
