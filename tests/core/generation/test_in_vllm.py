"""The engine ``vllm``: what vLLM is called with, and what is made of its answers.

vLLM needs a GPU; a module that notes its arguments stands in for it.
"""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError, UsageError
from tgdpo_core.generation.door import generate
from tgdpo_core.generation.engines import EngineSettings, open_engine
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.models.precision import Precision

ROWS = [PreferencePair("the cat", "", "", "row 0"), PreferencePair("sat on", "", "", "row 1")]


class SamplingParams:
    """Notes what it is made with."""

    def __init__(self, **kwargs: Any) -> None:
        self.kwargs = kwargs


class LLM:
    """Answers with the prompt's own ids; every second answer ends."""

    made: dict[str, Any]
    calls: list[Any]

    def __init__(self, **kwargs: Any) -> None:
        type(self).made, type(self).calls = kwargs, []
        config = AutoConfig.from_pretrained(kwargs["model"])
        length = kwargs["max_model_len"] or config.max_position_embeddings
        self.llm_engine = types.SimpleNamespace(
            model_config=types.SimpleNamespace(
                hf_config=config, hf_text_config=config, max_model_len=length
            )
        )

    def generate(self, prompts: Any, parameters: Any, **kwargs: Any) -> list[Any]:
        self.calls.append((prompts, parameters, kwargs))
        outputs = []
        for number, prompt in enumerate(prompts):
            ends = number % 2 == 0
            ids = [*prompt["prompt_token_ids"], *([1] if ends else [])]
            answer = types.SimpleNamespace(
                token_ids=ids, finish_reason="stop" if ends else "length"
            )
            outputs.append(types.SimpleNamespace(outputs=[answer]))
        return outputs


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[LLM]:
    """The module that stands in for vLLM."""
    module: Any = types.ModuleType("vllm")
    module.LLM, module.SamplingParams, module.__version__ = LLM, SamplingParams, "0.0"
    module.__spec__ = types.SimpleNamespace()
    request: Any = types.ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *args: ("adapter", *args)
    for name, each in (("vllm", module), ("vllm.lora", module), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, each)
    return LLM


def settings(**args: str) -> EngineSettings:
    return EngineSettings("vllm", precision=Precision(), args=args)


def test_every_answer_has_its_parameters_and_its_seed(vllm: type[LLM], model_folder: Path) -> None:
    engine = open_engine(str(model_folder), settings(tensor_parallel_size="2"))
    sampling = Sampling(samples=2, greedy=True, temperature=0.8, top_p=0.9, max_new_tokens=9)
    found = generate(engine, ROWS, sampling)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    (prompts, parameters, _), *others = vllm.calls
    assert not others
    assert vllm.made["tensor_parallel_size"] == 2
    assert (vllm.made["dtype"], vllm.made["generation_config"]) == ("float32", "vllm")
    random = [p.kwargs for p in parameters if p.kwargs["seed"] is not None]
    greedy = [p.kwargs for p in parameters if p.kwargs["seed"] is None]
    assert len({p["seed"] for p in random}) == 4
    assert {(p["temperature"], p["top_p"], p["max_tokens"]) for p in random} == {(0.8, 0.9, 9)}
    assert {(p["temperature"], p["top_p"]) for p in greedy} == {(0.0, 1.0)}
    assert all(tokenizer.eos_token_id in p.kwargs["stop_token_ids"] for p in parameters)
    ids = [tokenizer(row.prompt)["input_ids"] for row in ROWS]
    assert sorted(p["prompt_token_ids"] for p in prompts) == sorted(ids * 3)
    flat = [answer for item in found.answered for answer in item.answers]
    assert sorted(a.finished for a in flat) == [False] * 3 + [True] * 3
    for item, row in zip(found.answered, ids, strict=True):
        for answer in item.answers:
            assert answer.text == item.prompt
            assert answer.num_tokens == len(row) + answer.finished


def test_an_adapter_goes_on_its_base_model(
    vllm: type[LLM], model_folder: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    adapter = peft.get_peft_model(model, peft.LoraConfig(r=16, task_type="CAUSAL_LM"))
    adapter.save_pretrained(tmp_path / "adapter")
    engine = open_engine(str(tmp_path / "adapter"), settings())
    generate(engine, ROWS, Sampling())
    assert Path(vllm.made["model"]) == model_folder
    assert (vllm.made["enable_lora"], vllm.made["max_lora_rank"]) == (True, 16)
    assert vllm.calls[0][2]["lora_request"][-1] == str(tmp_path / "adapter")


def test_the_longest_sequence_of_vllm_is_the_limit(vllm: type[LLM], model_folder: Path) -> None:
    engine = open_engine(str(model_folder), settings(max_model_len="10"))
    with pytest.raises(DataError, match="2 of 2 prompts are too long"):
        generate(engine, ROWS, Sampling(max_new_tokens=9))


def test_mixed_precision_is_refused(vllm: type[LLM], model_folder: Path) -> None:
    import torch

    mixed = EngineSettings("vllm", precision=Precision(autocast=torch.bfloat16))
    with pytest.raises(UsageError, match="no mixed precision"):
        open_engine(str(model_folder), mixed)


def test_a_missing_vllm_names_its_extra(model_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'tgdpo\[vllm\]'"):
        open_engine(str(model_folder), settings())
