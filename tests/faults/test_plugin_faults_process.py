"""A plugin that changes what belongs to the whole process: it is named, and all is put back."""

import logging
import os
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
}


def state() -> list[Any]:
    return [
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
        call_plugin("w", "setup", lambda: exec(code + ending))
    assert state() == before


def test_all_changes_of_a_call_are_named() -> None:
    with settings_kept() as moved:
        for code, _ in CHANGES.values():
            exec(code)
    assert set(moved.names) == {named for _, named in CHANGES.values()}


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
