"""A plan's memory: from a config alone, for the GPU that is asked about, with what would fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgdpo_core.errors import MachineError
from tgdpo_core.models.checks import missing_parts
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.preparation import plan as plan_module
from tgdpo_core.preparation.formats import policy_source
from tgdpo_core.preparation.plan import Plan, make_plan
from tgdpo_core.preparation.reading import read
from tgdpo_core.preparation.tokens import tokenize
from tgdpo_core.recipe.loading import resolve_recipe
from tgdpo_core.training.memory.planning import (
    Machine,
    MemoryPlan,
    longest_row,
    machine_of,
    memory_document,
    plan_memory,
    require_memory,
)

GIB = 2**30
LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
AGAIN = {"gradient_checkpointing": True}
SMALL = {**AGAIN, "optim": "adamw_torch_8bit", "optim_args": "bf16_stochastic_round=true"}
Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    # The optimizer of 8 bits is planned for, not made: its package need not be there.
    monkeypatch.setattr(plan_module, "require_packages", lambda *args, **kwargs: None)

    def make(training: dict[str, Any], **model: Any) -> Plan:
        (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
        content = {
            "model": {"name_or_path": str(tmp_path), **model},
            "data": {"path": "rows.jsonl"},
            "training": training,
            "output_dir": str(tmp_path / "run"),
        }
        return make_plan(resolve_recipe(content, source="test"), PluginManager())

    return make


def gib(found: MemoryPlan) -> float:
    return found.needed / GIB


def test_an_8b_model_fits_one_gpu_in_six_bytes_a_parameter(planned: Planned) -> None:
    plan = planned(SMALL, dtype="bfloat16")
    found = plan_memory(plan, Machine())
    assert missing_parts(policy_source(plan)) == ["weights", "tokenizer"]
    assert 46 < gib(found) < 60
    assert found.parts.weights == 2 * 8_030_261_248


def test_an_8b_model_fits_no_gpu_as_the_paper_trains_it(planned: Planned) -> None:
    found = plan_memory(planned(AGAIN), Machine())
    assert found.parts.gradients == 4 * 8_030_261_248
    assert 13 <= found.parts.copies / GIB < 13.1
    assert gib(found) > 132


def test_eight_gpus_share_an_8b_model(planned: Planned) -> None:
    assert gib(plan_memory(planned(AGAIN), Machine(gpus=8))) < 40


def test_a_gpu_that_is_too_small_is_said_with_what_fits(planned: Planned) -> None:
    with pytest.raises(MachineError, match="Too little memory") as raised:
        require_memory(planned(AGAIN), Machine(80 * GIB))
    said = str(raised.value)
    assert "\n" not in said
    assert "optimizer 59.8" in said
    assert "What fits: model.dtype=bfloat16 with training.optim=adamw_torch_8bit" in said
    assert raised.value.exit_code == 7


def test_where_nothing_fits_other_ways_are_named(planned: Planned) -> None:
    with pytest.raises(MachineError, match="share the weights over several GPUs"):
        require_memory(planned(AGAIN), Machine(8 * GIB))


def test_a_gpu_that_is_large_enough_or_not_known_stops_nothing(planned: Planned) -> None:
    require_memory(planned(SMALL, dtype="bfloat16"), Machine(80 * GIB))
    require_memory(planned(AGAIN), Machine())


def test_weights_that_a_recipe_shards_are_shared(planned: Planned) -> None:
    found = plan_memory(planned({**AGAIN, "fsdp": "full_shard"}), Machine(replicas=8))
    assert found.machine == Machine(gpus=8)


def test_what_deepspeed_shares_is_not_guessed(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert memory_document(planned(AGAIN), Machine()) == {
        "not_known": "what DeepSpeed shares out is not planned"
    }
    require_memory(planned(AGAIN), Machine(GIB))
    assert "is not known: what DeepSpeed shares out is not planned" in caplog.text


def test_the_process_says_how_many_share_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (machine_of(memory_gib=80).gpus, machine_of(memory_gib=80).replicas) == (1, 4)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert machine_of(memory_gib=80) == Machine(80 * GIB, 4, 1)
    assert machine_of(gpus=2).gpus == 2


def test_the_longest_row_is_that_of_the_data(
    planned: Planned, model_folder: Path, rows_file: Path, tmp_path: Path
) -> None:
    plan = planned({}, name_or_path=str(model_folder))
    content = {**plan.recipe.model_dump(), "data": {"path": str(rows_file)}}
    plan = make_plan(resolve_recipe(content, source="test"), PluginManager())
    table = tokenize(plan, read(plan)).train
    row = longest_row(table, 10**6)
    assert row.tokens == int(table.counts.shared.sum())
    assert row.responses == int((table.counts.chosen + table.counts.rejected).sum())
    document = memory_document(plan, Machine(), table)
    assert document["row"] == {"tokens": row.tokens, "responses": row.responses, "from": "data"}
    assert document["fits"] is None
