"""``TokenLogps``: both routes, on architectures that do different things to their logits."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tgdpo_core.engine.policy import TokenLogps, attach, engine_of, plain_copy
from tgdpo_core.engine.probe import head_settings
from tgdpo_core.engine.rows import PackedRow, PairIds, pad_pairs

ROW = pad_pairs(
    [
        PairIds(prompt=[3, 11, 12], chosen=[13, 14, 5], rejected=[15, 5]),
        PairIds(prompt=[3, 21], chosen=[22, 5], rejected=[23, 24, 25, 26, 5]),
    ]
)
_SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
_WIDE = {"intermediate_size": 32, "num_key_value_heads": 2}

# Each case: model type, settings of its config.
ARCHITECTURES = {
    "llama": ("llama", _WIDE),
    "llama with tied embeddings": ("llama", {**_WIDE, "tie_word_embeddings": True}),
    "gemma2: soft-cap": ("gemma2", {**_WIDE, "head_dim": 8, "final_logit_softcapping": 0.5}),
    "cohere: logits multiplied": ("cohere", {**_WIDE, "logit_scale": 4.0}),
    "granite: logits divided": ("granite", {**_WIDE, "logits_scaling": 4.0}),
    "gpt2: another decoder": ("gpt2", {}),
    "phi: a bias in the head": ("phi", {"intermediate_size": 32}),
}


def make_model(name: str) -> Any:
    """Return a small random model with logits a few units wide."""
    model_type, settings = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **_SIZES, **settings))
    with torch.no_grad():
        head = model.get_output_embeddings()
        head.weight.normal_(std=0.5)
        if getattr(head, "bias", None) is not None:
            head.bias.normal_()
    return model.eval()


def plain_logps(model: Any, row: PackedRow) -> torch.Tensor:
    """Return the log-probs by the model's own logits, all of them, in float64."""
    with torch.no_grad():
        logits = model(input_ids=row.input_ids, attention_mask=row.attention_mask).logits.double()
    logps = torch.log_softmax(logits[:, :-1], -1).gather(2, row.input_ids[:, 1:, None]).squeeze(2)
    position = torch.stack(
        [row.source // row.input_ids.shape[1], row.source % row.input_ids.shape[1]]
    )
    return logps[position[0], position[1]]


@pytest.mark.parametrize("route", ["chunked", "model"])
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_log_probs_equal_those_of_the_models_own_logits(name: str, route: str) -> None:
    model = make_model(name)
    engine = TokenLogps(model)
    engine.choice = replace(engine.choice, head=route)
    with torch.no_grad():
        found = engine(ROW)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), plain_logps(model, ROW), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_head_route_is_taken_where_it_is_right(name: str) -> None:
    engine = TokenLogps(make_model(name))
    assert engine.choice.head == "chunked", engine.choice


def test_the_settings_of_the_head_are_read_from_the_config() -> None:
    assert head_settings(make_model("gemma2: soft-cap")).softcap == 0.5
    assert head_settings(make_model("cohere: logits multiplied")).scale == 4.0
    assert head_settings(make_model("granite: logits divided")).scale == 0.25


def test_a_model_that_does_something_unknown_to_its_logits_takes_the_logits_route() -> None:
    model = make_model("llama")
    original = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.logits = 1.5 * output.logits
        return output

    model.forward = forward
    engine = TokenLogps(model)
    assert (engine.choice.head, "are off by" in engine.choice.head_reason) == ("model", True)
    with torch.no_grad():
        torch.testing.assert_close(
            engine(ROW).double(), plain_logps(model, ROW), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("error", [AttributeError, TypeError, ValueError, NotImplementedError])
def test_a_model_whose_decoder_cannot_be_called_takes_the_logits_route(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    model = make_model("llama")
    expected = plain_logps(model, ROW)

    def get_decoder() -> Any:
        raise error("no decoder here")

    monkeypatch.setattr(model, "get_decoder", get_decoder)
    engine = TokenLogps(model)
    assert (engine.choice.head, "no decoder here" in engine.choice.head_reason) == ("model", True)
    with torch.no_grad():
        torch.testing.assert_close(engine(ROW).double(), expected, rtol=1e-5, atol=1e-5)


def test_both_routes_have_the_same_gradients() -> None:
    gradients = []
    for route in ("chunked", "model"):
        model = make_model("llama with tied embeddings")
        engine = TokenLogps(model, chunk_size=3)
        engine.choice = replace(engine.choice, head=route)
        (engine(ROW) * torch.linspace(-1, 1, len(ROW.targets))).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], expected, rtol=1e-4, atol=1e-6)


def test_the_choice_of_the_route_leaves_the_model_in_its_mode() -> None:
    model = make_model("llama")
    for training in (True, False):
        model.train(training)
        TokenLogps(model)
        assert model.training is training


def test_an_attached_model_returns_log_probs_for_a_row() -> None:
    model = make_model("llama")
    expected = plain_logps(model, ROW)
    attach(model)
    torch.testing.assert_close(model(row=ROW).double(), expected, rtol=1e-5, atol=1e-5)


def test_an_attached_model_answers_other_calls_as_before() -> None:
    model = make_model("llama")
    expected = model(input_ids=ROW.input_ids).logits
    attach(model)
    assert torch.equal(model(input_ids=ROW.input_ids).logits, expected)


def test_a_model_may_be_attached_again() -> None:
    model = make_model("llama")
    plain, expected = model(input_ids=ROW.input_ids).logits, plain_logps(model, ROW)
    for layout in ("auto", "pad"):
        engine = attach(model, layout=layout)
        assert engine_of(model) is engine
        torch.testing.assert_close(model(row=ROW).double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(model(input_ids=ROW.input_ids).logits, plain)


def test_a_plain_copy_of_an_attached_model_keeps_its_own_weights() -> None:
    model = make_model("llama")
    expected = model(input_ids=ROW.input_ids).logits
    attach(model)
    duplicate = plain_copy(model)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    assert torch.equal(duplicate(input_ids=ROW.input_ids).logits, expected)
