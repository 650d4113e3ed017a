"""The store's names of models: another one for whatever changes values, the same for a copy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.core.models.conftest import LORA, rewritten
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.models.fingerprints import loaded_model_fingerprint, model_fingerprint
from tgdpo_core.models.loading import policy_identity
from tgdpo_core.models.paths import hub_file, locate
from tgdpo_core.models.precision import Precision


def _change_weight(path: Path) -> None:
    tensors = load_file(path)
    name = min(tensors)
    tensors[name] = tensors[name] + 1
    save_file(tensors, path, metadata={"format": "pt"})


def _shard(folder: Path) -> None:
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="40KB")
    (folder / "model.safetensors").unlink(missing_ok=True)


def _swap_index(folder: Path) -> None:
    _shard(folder)
    index = folder / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    document["weight_map"].pop(min(document["weight_map"]))
    index.write_text(json.dumps(document))


def _write(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


# What changes the values of a model folder.
CHANGES: dict[str, Callable[[Path], Any]] = {
    "a weight": lambda f: _change_weight(f / "model.safetensors"),
    "the softcap": lambda f: rewritten(f / "config.json", final_logit_softcapping=30.0),
    "the rope": lambda f: rewritten(f / "config.json", rope_theta=5000.0),
    "a head bias": lambda f: rewritten(f / "config.json", lm_head_bias=True),
    "the class": lambda f: rewritten(f / "config.json", architectures=["Other"]),
    "the quantisation": lambda f: rewritten(
        f / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}
    ),
    "a nested setting": lambda f: rewritten(f / "config.json", text_config={"scale": 2}),
    "code": _write("modeling_mine.py", "x = 1\n"),
    "shards": _shard,
    "the index of shards": _swap_index,
}

# What changes nothing.
SAME: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda f: None,
    "who wrote it": lambda f: rewritten(
        f / "config.json", transformers_version="1", _name_or_path="/else", use_cache=False
    ),
    "a readme": _write("README.md", "hello"),
    "how it samples": _write("generation_config.json", '{"temperature": 2.0}'),
    "pickled settings": _write("training_args.bin", "x"),
    "an optimizer": _write("optimizer.pt", "x"),
}


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_values_changes_the_name(copy: Path, model_folder: Path, change: str) -> None:
    CHANGES[change](copy)
    assert model_fingerprint(str(copy)) != model_fingerprint(str(model_folder))


@pytest.mark.parametrize("change", SAME)
def test_what_changes_no_value_keeps_the_name(copy: Path, model_folder: Path, change: str) -> None:
    SAME[change](copy)
    assert model_fingerprint(str(copy)) == model_fingerprint(str(model_folder))


def test_two_indices_over_the_same_shards_have_two_names(copy: Path, tmp_path: Path) -> None:
    _shard(copy)
    shutil.copytree(copy, tmp_path / "again")
    assert model_fingerprint(str(copy)) == model_fingerprint(str(tmp_path / "again"))
    _swap_index(copy)
    assert model_fingerprint(str(copy)) != model_fingerprint(str(tmp_path / "again"))


def test_a_tokenizer_counts_where_the_model_reads_with_its_own(copy: Path) -> None:
    def both() -> list[Any]:
        return [model_fingerprint(str(copy), with_tokenizer=own) for own in (False, True)]

    without, own = both()
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert both()[0] == without
    assert both()[1] != own


# -- adapters -------------------------------------------------------------------------------------


@pytest.fixture
def adapter(adapter_folder: Path, copy: Path, tmp_path: Path) -> Path:
    shutil.copytree(adapter_folder, tmp_path / "adapter")
    rewritten(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=str(copy))
    return tmp_path / "adapter"


ADAPTER_CHANGES: dict[str, Callable[[Path, Path], Any]] = {
    "a weight of the adapter": lambda a, b: _change_weight(a / "adapter_model.safetensors"),
    "a weight of the base": lambda a, b: _change_weight(b / "model.safetensors"),
    "the base's config": lambda a, b: rewritten(b / "config.json", rms_norm_eps=0.1),
    "alpha": lambda a, b: rewritten(a / "adapter_config.json", lora_alpha=99),
    "rslora": lambda a, b: rewritten(a / "adapter_config.json", use_rslora=True),
    "code of the base": lambda a, b: (b / "modeling_mine.py").write_text("x = 1\n"),
}


@pytest.mark.parametrize("change", ADAPTER_CHANGES)
def test_an_adapter_is_named_with_its_base(adapter: Path, copy: Path, change: str) -> None:
    before = model_fingerprint(str(adapter))
    ADAPTER_CHANGES[change](adapter, copy)
    assert model_fingerprint(str(adapter)) != before


def test_an_adapter_elsewhere_on_a_copy_of_its_base_has_the_same_name(
    adapter: Path, adapter_folder: Path
) -> None:
    rewritten(
        adapter / "adapter_config.json",
        inference_mode=False,
        target_modules=json.loads((adapter / "adapter_config.json").read_text())["target_modules"][
            ::-1
        ],
    )
    assert model_fingerprint(str(adapter)) == model_fingerprint(str(adapter_folder))


def test_base_adapter_and_merged_adapter_have_three_names(
    adapter_folder: Path, model_folder: Path
) -> None:
    base, adapter = locate(str(model_folder)), locate(str(adapter_folder))
    names = [policy_identity(base), policy_identity(adapter), policy_identity(adapter, lora=LORA)]
    assert len({json.dumps(name, sort_keys=True) for name in names}) == 3


def test_a_fresh_adapter_changes_nothing_and_has_the_name_of_its_base(model_folder: Path) -> None:
    base = locate(str(model_folder))
    assert (
        policy_identity(base, lora=LORA)
        == policy_identity(base)
        == model_fingerprint(str(model_folder))
    )


# -- models in memory -----------------------------------------------------------------------------


def _lora_b(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(parameter)


def _scale(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", 3.0)


MEMORY_CHANGES: dict[str, Callable[[Any], Any]] = {
    "an adapter's weights": _lora_b,
    "the scaling of the adapter": _scale,
    "the adapter switched off": lambda model: model.base_model.disable_adapter_layers(),
    "the format": lambda model: model.half(),
    "attention": lambda model: model.set_attn_implementation("eager"),
    "the config": lambda model: setattr(model.config, "final_logit_softcapping", 3.0),
}


@pytest.mark.parametrize("change", [None, *MEMORY_CHANGES])
def test_a_model_in_memory_is_named_by_all_that_it_computes_with(
    model_folder: Path, change: str | None
) -> None:
    def model() -> Any:
        torch.manual_seed(0)
        return with_lora(AutoModelForCausalLM.from_pretrained(model_folder), LORA)

    once, twice = model(), model()
    if change:
        MEMORY_CHANGES[change](twice)
    same = loaded_model_fingerprint(once) == loaded_model_fingerprint(twice)
    assert same is (change is None)


# -- the Hub --------------------------------------------------------------------------------------


@pytest.fixture
def hub(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that puts a model into the Hub's cache under a commit; the Hub is offline."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    hub_file.cache_clear()
    monkeypatch.chdir(tmp_path)

    def put(name: str, commit: str, *, ref: str = "main", folder: Path = model_folder) -> Path:
        repo = cache / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, repo / "snapshots" / commit)
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / ref).write_text(commit)
        return repo / "snapshots" / commit

    return put


def test_a_model_of_the_hub_is_named_by_its_commit(hub: Callable[..., Path]) -> None:
    hub("owner/model", "a" * 40)
    hub("owner/model", "b" * 40, ref="new")
    assert model_fingerprint("owner/model")["commit"] == "a" * 40
    assert model_fingerprint("owner/model", revision="new")["commit"] == "b" * 40


def test_an_adapter_of_the_hub_stands_on_its_base_of_the_hub(
    hub: Callable[..., Path], adapter_folder: Path
) -> None:
    from tgdpo_core.models.loading import load_frozen

    hub("owner/base", "a" * 40)
    snapshot = hub("owner/lora", "c" * 40, folder=adapter_folder)
    rewritten(snapshot / "adapter_config.json", base_model_name_or_path="owner/base")
    name = model_fingerprint("owner/lora")
    assert (name["commit"], name["base"]["commit"]) == ("c" * 40, "a" * 40)
    ids = torch.arange(3, 30)[None]
    found = load_frozen("owner/lora", precision=Precision())(input_ids=ids).logits
    expected = load_frozen(str(adapter_folder), precision=Precision())(input_ids=ids).logits
    assert torch.equal(found, expected)
