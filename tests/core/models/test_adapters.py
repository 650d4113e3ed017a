"""Adapters as policy, reference and reward: continued, merged, found again, never replaced."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.core.models.conftest import LORA, losses, rewritten
from tgdpo_core import TGDPOTrainer
from tgdpo_core.errors import UsageError
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.models.loading import load_frozen, load_policy
from tgdpo_core.models.paths import BASE_RECORD, locate
from tgdpo_core.models.precision import Precision

LN2 = math.log(2)
Trained = Callable[..., TGDPOTrainer]


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 40)[None]).logits


def frozen(name: str | Path) -> Any:
    return load_frozen(str(name), precision=Precision())


def by_peft(folder: Path, base: Path) -> torch.Tensor:
    from peft import PeftModel

    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder))


@pytest.mark.parametrize("lora", [None, LORA], ids=["continued", "merged under a fresh one"])
def test_the_policy_is_base_and_adapter(
    adapter_folder: Path, model_folder: Path, lora: dict[str, Any] | None
) -> None:
    policy = load_policy(locate(str(adapter_folder)), precision=Precision(), lora=lora).model
    expected = by_peft(adapter_folder, model_folder)
    torch.testing.assert_close(logits(policy), expected, rtol=0, atol=1e-4)
    assert (expected - logits(frozen(model_folder))).abs().max() > 0.1
    names = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name for name in names)


def test_a_fresh_adapter_on_a_model_that_has_one_is_refused(adapter_folder: Path) -> None:
    with pytest.raises(UsageError, match="would replace"):
        with_lora(frozen(adapter_folder), LORA)


@pytest.mark.parametrize("lora", [None, LORA], ids=["continued", "merged"])
@pytest.mark.parametrize("warmed_by", ["nothing", "base", "the other way", "itself"])
def test_lora_then_lora_starts_at_ln_2_whatever_the_store_holds(
    trainer_of: Trained,
    adapter_folder: Path,
    model_folder: Path,
    lora: dict[str, Any] | None,
    warmed_by: str,
) -> None:
    others = {
        "base": (model_folder, LORA),
        "the other way": (adapter_folder, None if lora else LORA),
        "itself": (adapter_folder, lora),
    }
    if warmed_by != "nothing":
        model, settings = others[warmed_by]
        trainer_of(model, lora=settings, run="before")
    first, *later = losses(trainer_of(adapter_folder, lora=lora))
    assert first == pytest.approx(LN2, abs=1e-6)
    assert abs(later[-1] - first) > 1e-4


@pytest.fixture
def first_run(
    trainer_of: Trained, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A LoRA run of ours whose base model was named by a relative path."""
    shutil.copytree(model_folder, tmp_path / "models" / "base")
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of("models/base", lora=LORA, run="first")
    trainer.train()
    return tmp_path / "first"


@pytest.mark.parametrize("lora", [None, LORA], ids=["continued", "merged"])
def test_a_lora_run_is_a_model_from_any_working_directory(
    first_run: Path,
    trainer_of: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lora: dict[str, Any] | None,
) -> None:
    here = logits(frozen("first"))
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert torch.equal(here, logits(frozen(first_run)))
    second = trainer_of("../../first", lora=lora, run="second")
    assert losses(second)[0] == pytest.approx(LN2, abs=1e-6)
    third = trainer_of(tmp_path / "second", lora=lora, run="third", ref_model=str(first_run))
    assert losses(third)[0] != pytest.approx(LN2, abs=1e-3)  # the reference is another model
    expected = logits(second.model)
    torch.testing.assert_close(logits(frozen(tmp_path / "second")), expected, rtol=0, atol=1e-4)


def test_a_lora_run_and_its_base_may_be_moved_together(first_run: Path, tmp_path: Path) -> None:
    before = logits(frozen(first_run))
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "first", moved / "first")
    shutil.move(tmp_path / "models", moved / "models")
    assert torch.equal(before, logits(frozen(moved / "first")))


def test_an_adapter_whose_base_has_changed_is_refused(first_run: Path, tmp_path: Path) -> None:
    base = tmp_path / "models" / "base"
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight.add_(0.1)
    model.save_pretrained(base)
    with pytest.raises(UsageError, match="has changed since the adapter was trained"):
        frozen(first_run)


def test_a_lora_run_says_in_its_files_what_it_stands_on(first_run: Path, tmp_path: Path) -> None:
    config = json.loads((first_run / "model" / "adapter_config.json").read_text())
    record = json.loads((first_run / "model" / BASE_RECORD).read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "models" / "base")
    assert record["name_or_path"] == config["base_model_name_or_path"]
    assert (first_run / "model" / record["from_adapter"]).resolve() == tmp_path / "models" / "base"


@pytest.mark.parametrize("cwd", [".", "work", "elsewhere"])
def test_a_relative_base_path_of_peft_is_found(
    make_adapter: Callable[..., Path],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cwd: str,
) -> None:
    shutil.copytree(model_folder, tmp_path / "work" / "base")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    adapter = make_adapter(tmp_path / "work" / "adapter", "work/base")
    expected = by_peft(adapter, tmp_path / "work" / "base")
    monkeypatch.chdir(tmp_path / cwd)
    assert torch.equal(logits(frozen(adapter)), expected)


def test_an_adapter_without_a_base_is_refused_in_one_line(
    make_adapter: Callable[..., Path], model_folder: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", model_folder)
    rewritten(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"cannot be used without its base model '.*gone'"):
        frozen(adapter)


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(
    make_adapter: Callable[..., Path], model_folder: Path, tmp_path: Path, trainer_of: Trained
) -> None:
    adapter = make_adapter(tmp_path / "adapter", model_folder, tokenizer=False)
    tokenizer = trainer_of(adapter).processing_class
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(model_folder).get_vocab()


@pytest.mark.parametrize("what", ["lacks", "holds"])
def test_an_adapter_of_another_architecture_is_refused(
    make_adapter: Callable[..., Path], model_folder: Path, tmp_path: Path, what: str
) -> None:
    from safetensors.torch import load_file, save_file

    adapter = make_adapter(tmp_path / "adapter", model_folder)
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    if what == "lacks":
        del tensors[name]
    else:
        tensors[name.replace("layers.0", "layers.7").replace("layers.1", "layers.7")] = tensors[
            name
        ].clone()
    save_file(tensors, path)
    with pytest.raises(UsageError, match=f"{what} base_model"):
        frozen(adapter)


def test_prompt_tuning_is_refused(model_folder: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    get_peft_model(
        model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    ).save_pretrained(tmp_path / "prompt")
    with pytest.raises(UsageError, match="PROMPT_TUNING puts trained tokens before the prompt"):
        frozen(tmp_path / "prompt")


def test_an_adapter_induces_what_the_merged_model_induces(
    adapter_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    trainer_of: Trained,
    small_tokenizer: Any,
) -> None:
    merged = frozen(adapter_folder).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    small_tokenizer.save_pretrained(tmp_path / "merged")
    rewards = [
        trainer_of(model_folder, token_reward={"plugin": "induced", "args": {"model": str(model)}})
        .train_dataset[3]
        .token_rewards
        for model in (adapter_folder, tmp_path / "merged")
    ]
    torch.testing.assert_close(*rewards, rtol=0, atol=1e-5)
    assert rewards[0].abs().max() > 1e-3


# -- models given in Python -----------------------------------------------------------------------


@pytest.mark.parametrize("trainable", [True, False])
def test_a_peft_model_must_be_trainable(
    adapter_folder: Path,
    model_folder: Path,
    small_rows: list[Any],
    small_tokenizer: Any,
    trainable: bool,
    tmp_path: Path,
) -> None:
    from peft import PeftModel

    from tgdpo_core import TGDPOConfig

    base = AutoModelForCausalLM.from_pretrained(model_folder)
    model = PeftModel.from_pretrained(base, adapter_folder, is_trainable=trainable)
    args = TGDPOConfig(
        output_dir=str(tmp_path / "run"),
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=1,
        max_steps=1,
        save_strategy="no",
    )
    arguments = {"args": args, "train_dataset": small_rows, "processing_class": small_tokenizer}
    if trainable:
        assert losses(TGDPOTrainer(model, **arguments))[0] == pytest.approx(LN2, abs=1e-6)
        return
    with pytest.raises(UsageError, match=r"no trainable parameter.*is_trainable=True"):
        TGDPOTrainer(model, **arguments)


def test_a_frozen_model_cannot_be_the_policy(
    model_folder: Path, small_rows: list[Any], tmp_path: Path
) -> None:
    from tgdpo_core import TGDPOConfig

    args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True)
    with pytest.raises(UsageError, match="no trainable parameter"):
        TGDPOTrainer(frozen(model_folder), args=args, train_dataset=small_rows)
