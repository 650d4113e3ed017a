"""A merged adapter is a model of its own with the log-probs of adapter and base together."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tgdpo_cli.main import cli
from tgdpo_core.errors import UsageError
from tgdpo_core.models.loading import load_frozen, load_tokenizer
from tgdpo_core.models.merging import merge
from tgdpo_core.models.precision import Precision

IDS = torch.tensor([[5, 9, 3, 7, 11]])


def logits(name: Path) -> torch.Tensor:
    with torch.no_grad():
        return load_frozen(str(name), precision=Precision())(input_ids=IDS).logits


def test_the_merged_model_is_adapter_and_base(adapter_folder: Path, tmp_path: Path) -> None:
    done = merge(str(adapter_folder), tmp_path / "merged", dtype="float32")
    assert done.moved == 1
    assert not (done.folder / "adapter_config.json").exists()
    torch.testing.assert_close(logits(done.folder), logits(adapter_folder), rtol=0, atol=1e-5)
    assert load_tokenizer(str(done.folder)).get_vocab()
    names = {path.name for path in done.folder.iterdir()}
    assert {"model.safetensors", "generation_config.json", "README.md"} <= names
    assert "**Merged**" in (done.folder / "README.md").read_text()


def test_small_updates_that_the_dtype_loses_are_counted(
    adapter_folder: Path, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    weak = tmp_path / "weak"
    shutil.copytree(adapter_folder, weak)
    file = weak / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({k: v * 1e-4 if "lora_B" in k else v for k, v in tensors.items()}, file)
    exact = merge(str(weak), tmp_path / "a", dtype="float32")
    rounded = merge(str(weak), tmp_path / "b", dtype="bfloat16")
    assert exact.moved > 0.9
    assert rounded.moved < 0.2
    done = CliRunner().invoke(
        cli, ["merge", str(weak), "--output-dir", str(tmp_path / "c"), "--dtype", "bfloat16"]
    )
    assert "The rest is lost in bfloat16; --dtype float32 keeps it." in done.output


def test_a_whole_model_and_a_folder_in_use_are_refused(
    adapter_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is a whole model"):
        merge(str(model_folder), tmp_path / "merged")
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        merge(str(adapter_folder), tmp_path)
    with pytest.raises(UsageError, match=r"holds kept\.txt and no merged model"):
        merge(str(adapter_folder), tmp_path, overwrite=True)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_only_a_merged_model_is_overwritten(adapter_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "merged"
    merge(str(adapter_folder), folder)
    with pytest.raises(UsageError, match="is not empty: name another, or give --overwrite"):
        merge(str(adapter_folder), folder)
    assert merge(str(adapter_folder), folder, overwrite=True).dtype == "float32"
    (folder / "notes").mkdir()
    with pytest.raises(UsageError, match="holds notes beside a merged model, which would be lost"):
        merge(str(adapter_folder), folder, overwrite=True)
    assert (folder / "notes").is_dir()


def test_a_run_is_merged_beside_its_adapter(trainer_of: Any, model_folder: Path) -> None:
    from tests.core.models.conftest import LORA

    trainer = trainer_of(model_folder, lora=LORA)
    trainer.train()
    run = trainer._folder.path
    done = CliRunner().invoke(cli, ["merge", str(run)], catch_exceptions=False)
    assert done.exit_code == 0
    of_adapter = (run / "model" / "README.md").read_text()
    assert "library_name: peft" in of_adapter
    assert "**Adapter**" in of_adapter
    card = (run / "merged" / "README.md").read_text()
    assert "library_name: transformers" in card
    assert "**Adapter**" not in card
    assert "Trained with DPO" in card
    assert "**Merged**" in card
    torch.testing.assert_close(logits(run / "merged"), logits(run), rtol=0, atol=1e-5)
    again = CliRunner().invoke(cli, ["merge", str(run / "model")])
    assert "give --output-dir" in again.output
