"""Folders that hold no whole causal language model are refused in one line, before any scoring."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaModel,
)

from tests.conftest import tiny_llama
from tests.core.models.conftest import rewritten
from tgdpo_core import TGDPOConfig, TGDPOTrainer
from tgdpo_core.errors import TgdpoError, UsageError
from tgdpo_core.models.loading import Trust, load_causal_lm, load_frozen, load_policy
from tgdpo_core.models.paths import locate, resolve_model_path
from tgdpo_core.models.precision import Precision

Make = Callable[[str], Path]


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def _edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(_weights(folder))
    change(tensors)
    save_file(tensors, _weights(folder), metadata={"format": "pt"})


def _class(cls: Any, **settings: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        config = AutoModelForCausalLM.from_pretrained(folder).config
        for name, value in settings.items():
            setattr(config, name, value)
        cls(config).save_pretrained(folder)

    return write


def _as_pickle(folder: Path) -> None:
    torch.save(load_file(_weights(folder)), folder / "pytorch_model.bin")
    _weights(folder).unlink()


class Evil:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("executed", "w"))


def _evil(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil()}))
    _weights(folder).unlink()


def _without_shard(folder: Path) -> None:
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="40KB")
    _weights(folder).unlink(missing_ok=True)
    min(folder.glob("model-*.safetensors")).unlink()


def _config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: rewritten(folder / "config.json", **changes)


def _gguf(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "sequence classification": (
        _class(LlamaForSequenceClassification, num_labels=1),
        "is a LlamaForSequenceClassification: its head is no language model's",
    ),
    "tied reward model": (
        _class(LlamaForSequenceClassification, num_labels=1, tie_word_embeddings=True),
        "is a LlamaForSequenceClassification",
    ),
    "reward model that hides its class": (
        lambda folder: (
            _class(LlamaForTokenClassification, num_labels=1)(folder),
            rewritten(folder / "config.json", architectures=None),
        ),
        "lacks lm_head.weight",
    ),
    "value head beside the language model's": (
        lambda folder: _edit(
            folder, lambda t: t.update({"v_head.summary.weight": torch.ones(1, 32)})
        ),
        "holds v_head.summary.weight",
    ),
    "base model, untied": (_class(LlamaModel), "lacks lm_head.weight"),
    "a tensor missing": (
        lambda folder: _edit(folder, lambda t: t.pop("model.layers.0.mlp.up_proj.weight")),
        r"lacks model.layers.0.mlp.up_proj.weight.*\(1 tensors\), which would be random",
    ),
    "more layers than the config says": (_config(num_hidden_layers=1), r"holds model\.layers\.1\."),
    "fewer layers than the config says": (
        _config(num_hidden_layers=3),
        r"lacks model\.layers\.2\.",
    ),
    "another width": (_config(intermediate_size=32), "up_proj|size|shape"),
    "unmerged adapter tensors": (
        lambda folder: _edit(
            folder,
            lambda t: t.update(
                {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}
            ),
        ),
        "holds model.layers.0.self_attn.q_proj.lora_A.weight",
    ),
    "pickle": (_as_pickle, r"as a pickle \(pytorch_model.bin\).*model.allow_pickle=true"),
    "evil pickle": (_evil, "as a pickle"),
    "cut safetensors": (
        lambda folder: _weights(folder).write_bytes(_weights(folder).read_bytes()[:2000]),
        r"model\.safetensors' is damaged",
    ),
    "empty safetensors": (
        lambda f: _weights(f).write_bytes(b""),
        r"model\.safetensors' is damaged",
    ),
    "missing shard": (_without_shard, "lacks model-00001-of-"),
    "no weights": (lambda folder: _weights(folder).unlink(), "cannot be loaded"),
    "gguf": (_gguf, "GGUF files are not read"),
    "quantised by a package that is not here": (
        _config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "is quantised .gptq., which needs gptqmodel: pip install gptqmodel",
    ),
    "unknown quantisation": (
        _config(quantization_config={"quant_method": "abc"}),
        "is quantised in an unknown way: 'abc'",
    ),
    "config that is no JSON": (
        lambda f: (f / "config.json").write_text("{"),
        "config.json' cannot be loaded|not valid JSON",
    ),
    "config that is a list": (lambda f: (f / "config.json").write_text("[]"), "JSON object"),
    "config with nonsense": (_config(hidden_size="wide"), "cannot be loaded"),
    "unknown model type": (_config(model_type="nosuch", architectures=None), "cannot be loaded"),
    "encoder": (
        lambda f: rewritten(
            f / "config.json", model_type="bert", architectures=["BertForMaskedLM"]
        ),
        "is a BertForMaskedLM",
    ),
    "code without leave": (
        _config(model_type="mine", auto_map={"AutoConfig": "m.C", "AutoModelForCausalLM": "m.M"}),
        "trust_remote_code|cannot be loaded",
    ),
}


@pytest.fixture
def broken(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A function that writes a folder with something wrong; the working directory is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def make(kind: str) -> Path:
        folder = tmp_path / "broken"
        shutil.copytree(model_folder, folder)
        BROKEN[kind][0](folder)
        return folder

    return make


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_is_refused_by_name_in_one_line(broken: Make, kind: str, tmp_path: Path) -> None:
    folder = broken(kind)
    for load in (
        load_frozen,
        lambda name, precision: load_policy(locate(name), precision=precision),
    ):
        with pytest.raises(UsageError, match=BROKEN[kind][1]) as caught:
            load(str(folder), precision=Precision())
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2
    assert list((tmp_path / "here").iterdir()) == []  # nothing of a pickle was executed


@pytest.mark.parametrize("role", ["policy", "reference", "induced", "reward model"])
def test_it_is_refused_in_every_role(
    broken: Make, model_folder: Path, role: str, small_rows: list[Any], tmp_path: Path
) -> None:
    bad = str(broken("base model, untied"))
    arguments: dict[str, dict[str, Any]] = {
        "policy": {"model": bad},
        "reference": {"ref_model": bad},
        "induced": {"token_reward": {"plugin": "induced", "args": {"model": bad}}},
        "reward model": {
            "token_reward": {
                "plugin": "dense-prm",
                "args": {"model": bad, "preset": "token-classification"},
            }
        },
    }
    args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True)
    settings = {"model": str(model_folder), "args": args, "train_dataset": small_rows}
    head = "score.weight" if role == "reward model" else "lm_head.weight"
    with pytest.raises(UsageError, match=f"lacks .*{head}"):
        TGDPOTrainer(**settings | arguments[role])


def test_a_pickle_is_read_with_leave(broken: Make, model_folder: Path) -> None:
    folder = broken("pickle")
    model = load_causal_lm(locate(str(folder)), precision=Precision(), trust=Trust(pickle=True))
    expected = load_frozen(str(model_folder), precision=Precision())
    assert torch.equal(model.lm_head.weight, expected.lm_head.weight)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_an_evil_pickle_is_not_executed_even_with_leave(broken: Make, tmp_path: Path) -> None:
    folder = broken("evil pickle")
    with pytest.raises(UsageError, match=r"unsafe pickle|cannot be loaded"):
        load_causal_lm(locate(str(folder)), precision=Precision(), trust=Trust(pickle=True))
    assert list((tmp_path / "here").iterdir()) == []


def test_a_base_model_whose_head_is_its_embedding_is_whole(
    tmp_path: Path, small_tokenizer: Any
) -> None:
    whole = tiny_llama(len(small_tokenizer), tie_word_embeddings=True)
    whole.model.save_pretrained(tmp_path / "tied")
    model = load_frozen(str(tmp_path / "tied"), precision=Precision())
    assert torch.equal(model.lm_head.weight, whole.lm_head.weight)


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["./nosuch", "/nosuch", "a/b/c", "runs/nosuch"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="no such folder"):
        resolve_model_path(name)


def test_a_name_without_a_folder_around_it_is_one_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_model_path("owner/model") == "owner/model"


def test_a_hub_that_cannot_be_reached_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_rows: list[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    args = TGDPOConfig(output_dir="run", use_cpu=True)
    with pytest.raises(UsageError, match="owner/model") as caught:
        TGDPOTrainer("owner/model", args=args, train_dataset=small_rows)
    assert "\n" not in str(caught.value)


# -- tokens ---------------------------------------------------------------------------------------


@pytest.fixture
def grown_tokenizer(model_folder: Path) -> Any:
    """The small tokenizer with one token more than the small model has vectors."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|mine|>"]})
    return tokenizer


@pytest.mark.parametrize("role", ["policy", "reference"])
def test_a_token_without_a_vector_is_refused_by_name(
    model_folder: Path, grown_tokenizer: Any, small_rows: list[Any], tmp_path: Path, role: str
) -> None:
    rows = [{**row, "prompt": "<|mine|>" + row["prompt"]} for row in small_rows]
    small = AutoModelForCausalLM.from_pretrained(model_folder)
    grown = AutoModelForCausalLM.from_pretrained(model_folder)
    grown.resize_token_embeddings(len(grown_tokenizer))
    models = {"model": small} if role == "policy" else {"model": grown, "ref_model": small}
    args = TGDPOConfig(
        output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True, special_tokens="keep"
    )
    size = len(grown_tokenizer) - 1
    message = rf"train_dataset\[\d+\]: token '<\|mine\|>' has the id {size}.*has {size} rows"
    with pytest.raises(UsageError, match=message):
        TGDPOTrainer(**models, args=args, train_dataset=rows, processing_class=grown_tokenizer)


def test_a_larger_tokenizer_is_fine_while_its_new_tokens_do_not_occur(
    model_folder: Path, grown_tokenizer: Any, small_rows: list[Any], tmp_path: Path
) -> None:
    args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True)
    trainer = TGDPOTrainer(
        str(model_folder), args=args, train_dataset=small_rows, processing_class=grown_tokenizer
    )
    assert len(trainer.train_dataset) == len(small_rows)


@pytest.mark.parametrize("role", ["reference", "induced"])
@pytest.mark.parametrize("difference", ["a token more", "two tokens exchanged"])
def test_a_model_with_other_tokens_is_refused(
    model_folder: Path,
    grown_tokenizer: Any,
    small_tokenizer: Any,
    small_rows: list[Any],
    tmp_path: Path,
    role: str,
    difference: str,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    if difference == "a token more":
        model = AutoModelForCausalLM.from_pretrained(model_folder)
        model.resize_token_embeddings(len(grown_tokenizer))
        model.save_pretrained(other)
        grown_tokenizer.save_pretrained(other)
    else:
        document = json.loads((other / "tokenizer.json").read_text())
        vocabulary = document["model"]["vocab"]
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
        (other / "tokenizer.json").write_text(json.dumps(document))
    arguments: dict[str, Any] = {"ref_model": str(other)}
    if role == "induced":
        arguments = {"token_reward": {"plugin": "induced", "args": {"model": str(other)}}}
    args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True)
    with pytest.raises(TgdpoError, match=r"tokenizer of .* differs from the policy's"):
        TGDPOTrainer(
            str(model_folder),
            args=args,
            train_dataset=small_rows,
            processing_class=small_tokenizer,
            **arguments,
        )


@pytest.mark.parametrize("rows", [0, 8])
def test_a_reference_without_a_tokenizer_is_compared_by_its_size_and_that_is_said(
    model_folder: Path,
    small_tokenizer: Any,
    small_rows: list[Any],
    tmp_path: Path,
    rows: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = AutoModelForCausalLM.from_pretrained(model_folder)
    other.resize_token_embeddings(len(small_tokenizer) + rows)
    other.save_pretrained(tmp_path / "other")
    args = TGDPOConfig(output_dir=str(tmp_path / "run"), use_cpu=True, disable_tqdm=True)
    settings = {"ref_model": str(tmp_path / "other"), "args": args, "train_dataset": small_rows}
    if rows:
        with pytest.raises(UsageError, match="no tokenizer lies beside it"):
            TGDPOTrainer(str(model_folder), **settings)
        return
    TGDPOTrainer(str(model_folder), **settings)
    assert "has no tokenizer files" in caplog.text
