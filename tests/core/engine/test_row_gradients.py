"""Rows: where response tokens sit, and that nothing else is ever trained."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tgdpo_core.engine import preference_loss
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PackedRow, PairIds, pad_pairs

RAGGED = [
    PairIds(prompt=[0, 11, 12], chosen=[13, 14, 1], rejected=[15, 1]),
    PairIds(prompt=[0, 21], chosen=[22, 1], rejected=[23, 24, 25, 26, 27, 1]),
    PairIds(prompt=[0, 31, 32, 33, 34], chosen=[1], rejected=[35, 36]),
]


def test_a_row_by_hand() -> None:
    row = pad_pairs([PairIds([5, 6], [7], [8, 9]), PairIds([3], [4, 2], [])], pad_token_id=99)
    assert row.input_ids.tolist() == [[5, 6, 7, 99], [5, 6, 8, 9], [3, 4, 2, 99]]
    assert row.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0]]
    assert row.targets.tolist() == [7, 8, 9, 4, 2]
    assert row.source.tolist() == [1, 5, 6, 8, 9]  # the position before each target, rows of 4
    assert row.pair_ids.tolist() == [0, 0, 0, 1, 1]
    assert row.is_chosen.tolist() == [True, False, False, True, True]
    assert (row.num_pairs, row.num_tokens) == (2, 10)


def test_every_target_is_the_token_after_its_source() -> None:
    row = pad_pairs(RAGGED)
    assert torch.equal(row.input_ids.flatten()[row.source + 1], row.targets)


@pytest.fixture(params=["chunked", "model"])
def engine(request: pytest.FixtureRequest, model_folder: Any) -> TokenLogps:
    """A small Llama behind one of the two routes."""
    engine = TokenLogps(AutoModelForCausalLM.from_pretrained(model_folder))
    assert engine.choice.head == "chunked"
    engine.choice = replace(engine.choice, head=request.param)
    return engine


def backward(engine: TokenLogps, row: PackedRow) -> torch.Tensor:
    """Return a loss of the row after its backward pass; weights and reference are arbitrary."""
    logps = engine(row)
    rng = torch.Generator().manual_seed(0)
    weights = 1 + torch.rand(len(logps), generator=rng)
    loss = preference_loss(
        logps,
        logps.detach() - torch.rand(len(logps), generator=rng),
        weights,
        row.pair_ids,
        row.is_chosen,
        num_pairs=row.num_pairs,
        beta=0.1,
    )
    total = loss.losses.mean()
    total.backward()
    return total.detach()


def hidden_gradient(engine: TokenLogps, row: PackedRow) -> torch.Tensor:
    """Return [B * T, D], the loss's gradient in the last hidden states."""
    kept: list[torch.Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        kept.append(output.last_hidden_state)

    handle = engine._model.get_decoder().register_forward_hook(keep)
    backward(engine, row)
    handle.remove()
    (hidden,) = kept
    return hidden.grad.flatten(0, 1)


def test_only_positions_that_predict_a_response_token_get_a_gradient(engine: TokenLogps) -> None:
    row = pad_pairs(RAGGED)
    touched = hidden_gradient(engine, row).abs().amax(1)
    predicts = torch.zeros(row.input_ids.numel(), dtype=torch.bool)
    predicts[row.source] = True
    assert torch.equal(touched[~predicts], torch.zeros(int((~predicts).sum())))
    assert (touched[predicts] > 0).all()


def test_padding_ids_change_neither_loss_nor_gradients(engine: TokenLogps) -> None:
    results = []
    for pad_token_id in (0, 2, 40):
        engine._model.zero_grad()
        loss = backward(engine, pad_pairs(RAGGED, pad_token_id=pad_token_id))
        gradients = {n: p.grad.clone() for n, p in engine._model.named_parameters()}
        results.append((loss, gradients))
    (first, expected), *others = results
    for loss, gradients in others:
        assert torch.equal(loss, first)
        assert all(torch.equal(gradients[name], expected[name]) for name in expected)


def test_embeddings_of_padding_get_exactly_no_gradient(engine: TokenLogps) -> None:
    backward(engine, pad_pairs(RAGGED, pad_token_id=40))
    embedding = engine._model.get_input_embeddings().weight.grad
    assert embedding[40].abs().max() == 0
    assert embedding[11].abs().max() > 0, "a prompt token is read by what follows"


def test_a_batch_has_the_log_probs_of_its_pairs_alone(engine: TokenLogps) -> None:
    with torch.no_grad():
        together = engine(pad_pairs(RAGGED))
        alone = torch.cat([engine(pad_pairs([pair])) for pair in RAGGED])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_row_moves_to_a_device_with_all_its_tensors() -> None:
    row = pad_pairs(RAGGED)
    moved = row.to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert all(tensor.is_meta for tensor in tensors)
    assert (moved.num_pairs, moved.num_tokens) == (row.num_pairs, row.num_tokens)
