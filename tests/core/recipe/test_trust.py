"""Remote code is allowed by the command line only."""

from pathlib import Path
from typing import Any

import pytest

from tgdpo_cli.main import cli, run
from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe.trust import require_trust


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"trust_remote_code": True}},
        {"model": {"trust_remote_code": "yes"}},
        {"reward": [{"plugin": "dense-prm", "args": {"trust_remote_code": True}}]},
        {"judging": {"judge": "reward-model", "args": {"trust_remote_code": 1}}},
        {"recipe": {}, "set": {"model.trust_remote_code": True}},
    ],
    ids=str,
)
def test_S2_a_recipe_cannot_turn_remote_code_on(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"trust_remote_code would run.*--trust-remote-code"):
        require_trust(content, "r.yaml")


@pytest.mark.parametrize("value", [False, None, "false", "no", 0])
def test_S2_a_recipe_may_say_no(value: Any) -> None:
    require_trust({"model": {"trust_remote_code": value}}, "r.yaml")


@pytest.mark.parametrize("command", ["train", "score", "validate", "inspect", "ablate"])
def test_S2_every_command_refuses_such_a_recipe(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: {trust_remote_code: true}\ndata: {path: playground}\noutput_dir: x\n")
    extra = ["--reward-plugin", "none"] if command == "ablate" else []
    arguments = [command, "--config", str(recipe), *extra]
    code = run(lambda: cli.main(arguments, standalone_mode=False))
    assert code == 2
    assert "--trust-remote-code" in capsys.readouterr().err
