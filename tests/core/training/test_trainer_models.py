"""What the trainer does with models: dropout, memory, LoRA, tied weights, the fallback route."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
    TrainerCallback,
)

from tgdpo_core import TGDPOTrainer
from tgdpo_core.models.adapters import with_lora
from tgdpo_core.preparation import references
from tgdpo_core.scoring import context
from tgdpo_core.training.batches import collate, make_rows
from tgdpo_plugins.shapings.linear import Linear

MakeTrainer = Callable[..., TGDPOTrainer]
LORA = {"r": 4, "alpha": 8.0, "target_modules": "all-linear"}


def fresh(folder: Path, **overrides: Any) -> Any:
    """Return a random model with the config of a folder, some of it overridden."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, **overrides))


def loss_of(trainer: TGDPOTrainer, *, training: bool = True) -> float:
    """Return the loss of the first four pairs."""
    trainer.model.train(training)
    batch = collate([trainer.train_dataset[i] for i in range(4)])
    return trainer.compute_loss(trainer.model, batch).item()


def losses(trainer: TGDPOTrainer) -> list[float]:
    """Return the logged losses of a run."""
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


# -- dropout --------------------------------------------------------------------------------------


@pytest.fixture
def model_with_dropout(model_folder: Path, request: pytest.FixtureRequest) -> Any:
    """A model with dropout, called as a function (Llama) or as layers (GPT-2)."""
    if request.param == "llama":
        return fresh(model_folder, attention_dropout=0.5)
    torch.manual_seed(0)
    size = AutoConfig.from_pretrained(model_folder).vocab_size
    config = AutoConfig.for_model(
        "gpt2",
        vocab_size=size,
        n_embd=16,
        n_layer=1,
        n_head=2,
        resid_pdrop=0.5,
        embd_pdrop=0.5,
        attn_pdrop=0.5,
        bos_token_id=0,
        eos_token_id=1,
    )
    return AutoModelForCausalLM.from_config(config)


WITH_DROPOUT = pytest.mark.parametrize("model_with_dropout", ["llama", "gpt2"], indirect=True)


@WITH_DROPOUT
def test_dropout_is_off_while_training(make_trainer: MakeTrainer, model_with_dropout: Any) -> None:
    trainer = make_trainer(model=model_with_dropout, ref_model=None)
    assert loss_of(trainer) == loss_of(trainer) == loss_of(trainer, training=False)


@WITH_DROPOUT
def test_the_models_of_the_test_above_do_drop_without_the_trainer(model_with_dropout: Any) -> None:
    model_with_dropout.train()
    ids = torch.arange(3, 30)[None]
    assert not torch.equal(model_with_dropout(ids).logits, model_with_dropout(ids).logits)


def test_lora_dropout_is_off_too(make_trainer: MakeTrainer, model_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(fresh(model_folder), config)
    trainer = make_trainer(model=model, ref_model=str(model_folder))
    assert loss_of(trainer) == loss_of(trainer)


# -- memory ---------------------------------------------------------------------------------------


class CountModels(TrainerCallback):
    """Counts, at every step, the models that are alive beyond those of before."""

    def __init__(self) -> None:
        gc.collect()
        self._before = weakref.WeakSet(_models())
        self.counts: list[int] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Count without a garbage collection: nobody makes one during a real run."""
        self.counts.append(
            sum(isinstance(m, LlamaForCausalLM) for m in _models() if m not in self._before)
        )


def _models() -> list[Any]:
    # By type(): isinstance asks every object for __class__, and some lazy ones warn.
    return [thing for thing in gc.get_objects() if issubclass(type(thing), PreTrainedModel)]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Every frozen model that is loaded from here on."""
    seen: list[weakref.ref[Any]] = []

    def noting(load: Callable[..., Any]) -> Callable[..., Any]:
        def loading(*args: Any, **kwargs: Any) -> Any:
            model = load(*args, **kwargs)
            seen.append(weakref.ref(model))
            return model

        return loading

    monkeypatch.setattr(context, "load_frozen", noting(context.load_frozen))
    monkeypatch.setattr(references, "load_causal_lm", noting(references.load_causal_lm))
    return seen


def test_only_the_policy_is_in_memory_during_training(
    make_trainer: MakeTrainer, model_folder: Path, reward_folder: Path, small_rows: list[Any]
) -> None:
    count = CountModels()
    trainer = make_trainer(
        ref_model=str(model_folder),
        eval_dataset=small_rows[:4],
        token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
        callbacks=[count],
    )
    trainer.train()
    assert count.counts == [1, 1, 1]


def test_reference_and_reward_model_are_freed_when_the_trainer_is_built(
    make_trainer: MakeTrainer,
    model_folder: Path,
    reward_folder: Path,
    loaded: list[weakref.ref[Any]],
) -> None:
    arguments = {"model": str(reward_folder), "reference": str(model_folder)}
    trainer = make_trainer(
        ref_model=str(model_folder), token_reward={"plugin": "induced", "args": arguments}
    )
    assert len(trainer.train_dataset) == 12
    assert [model() for model in loaded] == [None] * 3


def test_a_second_trainer_loads_neither_reference_nor_reward_model(
    make_trainer: MakeTrainer,
    model_folder: Path,
    reward_folder: Path,
    loaded: list[weakref.ref[Any]],
) -> None:
    for _ in range(2):
        make_trainer(
            ref_model=str(model_folder),
            token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
        )
    assert len(loaded) == 2


# -- LoRA -----------------------------------------------------------------------------------------


@pytest.fixture
def lora_trainer(make_trainer: MakeTrainer, model_folder: Path) -> TGDPOTrainer:
    """A trainer of a LoRA adapter on the small model."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    return make_trainer(model=with_lora(base, LORA), learning_rate=1e-2, num_train_epochs=2)


def test_the_reference_of_a_fresh_adapter_is_the_base_model(
    lora_trainer: TGDPOTrainer, make_trainer: MakeTrainer
) -> None:
    of_base = make_trainer("base").train_dataset
    for with_adapter, without in zip(lora_trainer.train_dataset, of_base, strict=True):
        assert torch.equal(with_adapter.reference_logps, without.reference_logps)


def test_lora_trains_the_adapter_and_nothing_else(lora_trainer: TGDPOTrainer) -> None:
    before = {name: p.detach().clone() for name, p in lora_trainer.model.named_parameters()}
    found = losses(lora_trainer)
    moved = {
        name
        for name, p in lora_trainer.model.named_parameters()
        if not torch.equal(p, before[name])
    }
    assert moved == {name for name in before if "lora_" in name}
    assert found[-1] < found[0]


def test_a_saved_adapter_loads_with_the_trained_log_probs(
    lora_trainer: TGDPOTrainer, make_trainer: MakeTrainer
) -> None:
    lora_trainer.train()
    folder = Path(lora_trainer.args.output_dir)
    assert (folder / "model" / "adapter_model.safetensors").is_file()
    again = make_trainer("again", ref_model=str(folder))
    (batch,), _ = make_rows([again.train_dataset[i] for i in range(4)], again._engine, 10_000)
    with torch.no_grad():
        trained = lora_trainer.model(row=batch.row)
    torch.testing.assert_close(batch.reference_logps, trained, rtol=0, atol=1e-5)


def test_lora_gradients_equal_those_of_the_logits_route(lora_trainer: TGDPOTrainer) -> None:
    engine = lora_trainer._engine
    assert (engine.choice.layout, engine.choice.head) == ("share", "chunked")
    gradients = []
    for head in ("chunked", "model"):
        engine.choice = replace(engine.choice, head=head)
        lora_trainer.model.zero_grad()
        batch = collate([lora_trainer.train_dataset[i] for i in range(4)])
        lora_trainer.compute_loss(lora_trainer.model, batch).backward()
        trained = [p.grad.clone() for p in lora_trainer.model.parameters() if p.requires_grad]
        gradients.append(trained)
    for head, logits in zip(*gradients, strict=True):
        torch.testing.assert_close(head, logits, rtol=1e-4, atol=1e-6)


# -- tied embeddings ------------------------------------------------------------------------------


@pytest.fixture
def tied_folder(tmp_path: Path, model_folder: Path) -> Path:
    """A folder with a model whose head is its embedding."""
    fresh(model_folder, tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    return tmp_path / "tied"


def test_a_tied_embedding_gets_the_gradient_of_both_its_uses(
    make_trainer: MakeTrainer, tied_folder: Path, padded_logps: Callable[..., Any]
) -> None:
    trainer = make_trainer(model=str(tied_folder))
    batch = collate([trainer.train_dataset[i] for i in range(4)])
    trainer.compute_loss(trainer.model, batch).backward()
    plain = AutoModelForCausalLM.from_pretrained(tied_folder)
    pairs = trainer.train_dataset.tokens[:4]
    sums = {side: padded_logps(plain, pairs, side)[0].sum(1) for side in ("chosen", "rejected")}
    ratios = {side: values - values.detach() for side, values in sums.items()}
    margins = 0.1 * (ratios["chosen"] - ratios["rejected"])
    (-torch.nn.functional.logsigmoid(margins).mean()).backward()
    assert plain.lm_head.weight is plain.model.embed_tokens.weight
    found, expected = trainer.model.lm_head.weight.grad, plain.lm_head.weight.grad
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_a_tied_model_is_saved_and_loaded_with_its_trained_weights(
    make_trainer: MakeTrainer, tied_folder: Path
) -> None:
    trainer = make_trainer(model=str(tied_folder))
    trainer.train()
    saved = AutoModelForCausalLM.from_pretrained(Path(trainer.args.output_dir) / "model")
    assert saved.lm_head.weight is saved.model.embed_tokens.weight
    assert torch.equal(saved.lm_head.weight, trainer.model.lm_head.weight)


# -- the fallback route ---------------------------------------------------------------------------


def test_a_model_without_a_usable_decoder_trains_with_the_same_losses(
    make_trainer: MakeTrainer,
    reward_folder: Path,
    run_record: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def run(name: str) -> TGDPOTrainer:
        return make_trainer(
            name,
            token_reward={"plugin": "induced", "args": {"model": str(reward_folder)}},
            shaping=Linear(alpha=5.0),
            store_path=str(tmp_path / f"store of {name}"),
            num_train_epochs=2,
        )

    expected = losses(run("head"))

    def get_decoder(self: Any) -> Any:
        raise AttributeError("no decoder")

    monkeypatch.setattr(LlamaForCausalLM, "get_decoder", get_decoder)
    trainer = run("logits")
    assert losses(trainer) == pytest.approx(expected, abs=1e-5)
    assert run_record(trainer.args.output_dir)["engine"]["head"] == "model"
    assert run_record(tmp_path / "head")["engine"]["head"] == "chunked"


# -- memory for time ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::FutureWarning")  # its name in transformers 5.17 still works
def test_gradient_checkpointing_does_not_change_the_losses(make_trainer: MakeTrainer) -> None:
    expected = losses(make_trainer("kept", num_train_epochs=2))
    trainer = make_trainer("computed_again", num_train_epochs=2, gradient_checkpointing=True)
    calls = []
    layer = trainer.model.model.layers[0].mlp
    layer.register_forward_pre_hook(lambda *args: calls.append(1))
    assert losses(trainer) == pytest.approx(expected, abs=1e-6)
    assert len(calls) == 2 * len(expected), "once forward, once again in the backward pass"
