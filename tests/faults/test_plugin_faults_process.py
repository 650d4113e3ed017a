"""A plugin that changes what belongs to the whole process: it is named, and all is put back."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.guard import call_plugin, process_kept
from tgdpo_core.scoring.process_state import settings_kept

Command = Callable[..., tuple[int, str]]

CHANGES: dict[str, tuple[str, str]] = {
    "gradients": ("import torch; torch.set_grad_enabled(False)", "the gradient mode of torch"),
    "dtype": ("import torch; torch.set_default_dtype(torch.float64)", "the default dtype of torch"),
    "device": ("import torch; torch.set_default_device('meta')", "the default device of torch"),
    "threads": (
        "import torch; torch.set_num_threads(torch.get_num_threads() + 1)",
        "the number of threads of torch",
    ),
    "folder": ("import os; os.chdir('/')", "the working directory"),
    "all warnings": ("import warnings; warnings.simplefilter('ignore')", "the filters of warnings"),
    "no filters": ("import warnings; warnings.resetwarnings()", "the filters of warnings"),
    "logging": ("import logging; logging.disable(logging.ERROR)", "logging.disable"),
    "recursion": ("import sys; sys.setrecursionlimit(900)", "the recursion limit"),
    "path": ("import sys; sys.path.clear()", "sys.path"),
    "path is none": ("import sys; sys.path = None", "sys.path"),
    "output": ("import os; os.close(1)", "standard output"),
    "error output": ("import os; os.dup2(os.open('/dev/null', 1), 2)", "standard error"),
    "inference": (
        "import torch; kept = torch.inference_mode(); kept.__enter__(); keep(kept)",
        "the inference mode of torch and the gradient mode of torch",
    ),
    "autocast": (
        "import torch; torch.autocast('cpu', dtype=torch.bfloat16).__enter__()",
        "the autocast mode of torch",
    ),
    "dtype of autocast": (
        "import torch; torch.set_autocast_dtype('cuda', torch.bfloat16)",
        "the autocast mode of torch",
    ),
    "float32 of products": (
        "import torch; torch.set_float32_matmul_precision('medium')",
        "the float32 precision of torch",
    ),
    "float32 of convolutions": (
        "import torch; torch.backends.cudnn.allow_tf32 = False",
        "the float32 precision of torch",
    ),
    "float32 by the newer interface": (
        "import torch; torch.backends.fp32_precision = 'tf32'",
        "the float32 precision of torch",
    ),
    "float32 of mkldnn": (
        "import torch; torch.backends.mkldnn.set_flags(_fp32_precision='bf16')",
        "the float32 precision of torch",
    ),
    "reductions": (
        "import torch; m = torch.backends.cuda.matmul; "
        "m.allow_bf16_reduced_precision_reduction = (False, False)",
        "the reduced precision of sums of torch",
    ),
    "anomaly": ("import torch; torch.autograd.set_detect_anomaly(True)", "the anomaly mode"),
    "denormals": ("import torch; torch.set_flush_denormal(True)", "the flushing of denormal"),
    "cudnn": (
        "import torch; torch.backends.cudnn.deterministic = True",
        "torch.backends.cudnn.deterministic",
    ),
    "mkldnn": (
        "import torch; torch.backends.mkldnn.enabled = False",
        "torch.backends.mkldnn.enabled",
    ),
    "attention": (
        "import torch; torch.backends.cuda.enable_math_sdp(False)",
        "torch.backends.cuda.enable_math_sdp",
    ),
}
KEPT: list[Any] = []  # what a plugin holds on to


def state() -> list[Any]:
    return [
        sys.getrecursionlimit(),
        list(sys.path),
        [os.fstat(number)[:2] for number in (1, 2)],
        torch.is_inference_mode_enabled(),
        torch.zeros(1).is_inference(),
        [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")],
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined] # no stub has it
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction_split_k,
        torch.is_anomaly_enabled(),
        sys.float_info.min / 2 > 0,
        torch.backends.cudnn.deterministic,
        torch.backends.mkldnn.enabled,
        torch.backends.cuda.math_sdp_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.zeros(1).device,
        torch.get_num_threads(),
        os.getcwd(),
        list(warnings.filters),
        logging.root.manager.disable,
    ]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("ending", ["", "; raise ValueError('no')"])
def test_a_change_is_named_and_put_back(change: str, ending: str) -> None:
    code, named = CHANGES[change]
    before = state()
    said = (
        "w failed on setup: ValueError: no" if ending else f"w, setup: the plugin changed {named}"
    )
    with pytest.raises(PluginError, match=said):
        call_plugin("w", "setup", lambda: exec(code + ending, {"keep": KEPT.append}))
    assert state() == before


def test_all_changes_of_a_call_are_named() -> None:
    with settings_kept() as moved:
        for code, _ in CHANGES.values():
            exec(code, {"keep": KEPT.append})
    said = " and ".join(moved.names)
    assert [named for _, named in CHANGES.values() if named not in said] == []
    assert len(moved.names) == len(set(moved.names))


def test_weights_that_were_cast_under_a_plugins_autocast_are_cast_anew() -> None:
    weight = torch.ones(4, 4, requires_grad=True)

    def product() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (torch.ones(1, 4) @ weight).detach()

    def stays_in_autocast() -> None:
        torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
        product()

    with pytest.raises(PluginError, match="the autocast mode of torch"):
        call_plugin("w", "setup", stays_in_autocast)
    assert float(product()[0, 0]) == 4
    weight.data.mul_(2)
    assert float(product()[0, 0]) == 8


def test_a_plugin_may_add_to_the_path() -> None:
    with settings_kept() as moved:
        sys.path.insert(0, "/somewhere")
    assert moved.names == []
    sys.path.remove("/somewhere")


@pytest.mark.parametrize("part", ["setup(self, context)", "score(self, batch)"])
def test_a_command_ends_with_the_plugins_name_and_code_4(
    part: str, faulty: Callable[[str], str], score: Command
) -> None:
    values = "return [[0.0] * len(e.response_ids) for e in batch]"
    body = f"def {part}:\n    {CHANGES['gradients'][0]}\n"
    body += f"    {values}" if "batch" in part else f"\ndef score(self, batch):\n    {values}"
    distribution = faulty(body)
    code, error = score()
    assert code == 4, error
    assert f"'faulty' ({distribution}), " in error
    assert "changed the gradient mode of torch" in error
    assert torch.is_grad_enabled()


def test_changes_around_many_short_calls_are_seen_too() -> None:
    with (
        pytest.raises(PluginError, match="shaping x: the plugin changed the gradient mode"),
        process_kept("shaping x"),
    ):
        torch.set_grad_enabled(False)
    assert torch.is_grad_enabled()


def test_what_is_undone_before_the_end_is_nobodys_business(tmp_path: Path) -> None:
    import contextlib

    def work() -> str:
        with torch.no_grad(), contextlib.chdir(tmp_path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "done"

    assert call_plugin("w", "setup", work) == "done"


def test_a_library_imported_in_a_call_may_filter_its_own_warnings() -> None:
    class TheirsWarning(UserWarning):
        pass

    def imports() -> None:
        warnings.simplefilter("always", TheirsWarning)
        warnings.filterwarnings("ignore", message="theirs")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="theirs")

    with warnings.catch_warnings():
        call_plugin("w", "setup", imports)
        assert any(each[2] is TheirsWarning for each in warnings.filters)
