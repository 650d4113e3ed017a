"""Short names that tell models apart."""

import pytest

from tgdpo_cli.model_names import short_names


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["playground"], ["playground"]),
        (["runs/dpo", "org/model", "base"], ["dpo", "model", "base"]),
        (["base", "x/cells/dpo/seed-0", "x/cells/mine/seed-0"], ["base", "dpo", "mine"]),
        (
            ["a/dpo/seed-0", "a/dpo/seed-1", "a/me/seed-0"],
            ["dpo/seed-0", "dpo/seed-1", "me/seed-0"],
        ),
        (["a/x/model", "b/x/model"], ["a", "b"]),
        (["/", "runs/a"], ["/", "a"]),
        (["runs/a", "runs/a"], ["a", "a"]),
    ],
)
def test_a_name_is_as_short_as_tells_apart(models: list[str], names: list[str]) -> None:
    assert short_names(models) == names
