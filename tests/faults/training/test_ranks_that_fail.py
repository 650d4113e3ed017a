"""R1, R2, R3: one of two ranks dies, fails or hangs: both end with the cause, resume is exact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.training.runs_apart import outcomes_of


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(model_folder: Path, rows_file: Path, scratch: Path) -> dict[str, Any]:
    """Exit code and output of each rank in each run."""
    return outcomes_of("ranks_that_fail", model_folder, rows_file, scratch)


def test_R1_a_killed_rank_ends_the_other_which_says_so(found: dict[str, Any]) -> None:
    (healthy, said), (killed, _) = found["kill"]
    assert (healthy, killed) == (7, -9), said
    assert "Stopped because another process of the run failed" in said
    assert "bug in tgdpo" not in said


def test_R2_a_plugin_that_fails_on_one_rank_is_named_by_it_and_the_run_resumes_exactly(
    found: dict[str, Any], scratch: Path, require_equal: Callable[[Path, Path], None]
) -> None:
    (healthy, other), (failed, said) = found["raise"]
    assert (healthy, failed) == (7, 4), other
    assert "faulty" in said
    assert "ValueError: no answer" in said
    assert "another process of the run failed; its own message says why" in other
    assert [code for code, _ in found["resumed"]] == [0, 0]
    require_equal(scratch / "raise", scratch / "whole")


def test_R3_a_rank_that_hangs_ends_the_run_with_the_stack_of_every_rank(
    found: dict[str, Any],
) -> None:
    (waiting, other), (hanging, said) = found["hang"]
    assert (waiting, hanging) == (7, 7), other
    assert "in wait_for_ever" in said, "the stack of the rank that hangs"
    assert "gave no sign of life for 8 s (training.ddp_timeout)" in said
    assert "Timeout (" in other, "the stack of the rank that waits for it"
    assert "in wait_for_ever" not in other
    assert found["seconds"] < 60
