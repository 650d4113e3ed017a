"""What validate sees of models without loading one."""

import json
import shutil
from pathlib import Path

import pytest

from tgdpo_core.errors import UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation.model_files import check_model_files
from tgdpo_core.preparation.plan import make_plan
from tgdpo_core.recipe import resolve_recipe


def check(model: str, reference: str | None = None) -> list[str]:
    """Return the names that only the Hub could have."""
    content = {"model": {"name_or_path": model}, "reference": {"name_or_path": reference}}
    recipe = resolve_recipe({**content, "data": {"path": "p.jsonl"}, "output_dir": "runs/x"})
    return check_model_files(make_plan(recipe, PluginManager()))


def test_a_whole_folder_is_fine(model_folder: Path) -> None:
    assert check(str(model_folder), str(model_folder)) == []


@pytest.mark.parametrize(
    ("missing", "said"),
    [("*.safetensors", "no weights"), ("token*", "no tokenizer")],
)
@pytest.mark.parametrize("is_reference", [False, True])
def test_a_folder_that_lacks_something_is_refused(
    missing: str, said: str, is_reference: bool, model_folder: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    shutil.copytree(model_folder, part)
    for path in part.glob(missing):
        path.unlink()
    names = (str(model_folder), str(part)) if is_reference else (str(part), None)
    with pytest.raises(UsageError, match=said):
        check(*names)


def test_another_kind_of_model_is_refused(model_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    config = json.loads((other / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="SequenceClassification"):
        check(str(other))


def test_a_hub_id_is_named_as_not_looked_for() -> None:
    assert check("acme/model") == ["acme/model"]


@pytest.mark.parametrize("name", ["a b", "a/b c", "-x", "modèle"])
def test_a_name_that_no_hub_model_has_is_no_folder_either(name: str) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        check(name)
