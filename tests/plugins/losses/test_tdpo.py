"""TDPO1 and TDPO2 against their paper's formula (arXiv 2404.11999, section 4.2) in float64."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tgdpo_core import TGDPOTrainer
from tgdpo_core.engine.head import reference_head
from tgdpo_core.engine.policy import TokenLogps, attach
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.scoring.distribution import distribution_of
from tgdpo_core.scoring.loss_choice import resolve_loss
from tgdpo_core.training.batches import PairBatch
from tgdpo_core.training.row_loss import RowLoss

BETA = 0.3
PAIRS = [
    PairIds([5, 6, 7], [8, 9, 10, 1], [11, 12, 1]),
    PairIds([3, 4], [20, 21, 1], [22, 23, 24, 25, 26, 1]),
]
PLUGINS = PluginManager(env={"TGDPO_LOAD_PLUGINS": ""})


def models() -> tuple[Any, Any]:
    """Two models whose every part computes in float64 (Llama's norms do not)."""
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
    config = GPT2Config(vocab_size=40, bos_token_id=0, eos_token_id=1, **sizes)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config).double().eval()
        with torch.no_grad():  # random models are nearly uniform
            model.lm_head.weight.mul_(20)
        found.append(model)
    return found[0], found[1].requires_grad_(False)


def log_probs(model: Any, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Return log pi(. | s_t) for every response token, [T, V], by one plain forward."""
    ids = torch.tensor([[*prompt, *response]])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1)


def of_the_paper(policy: Any, reference: Any, name: str, alpha: float) -> torch.Tensor:
    """Return the mean loss, written as in the paper."""
    losses = []
    for pair in PAIRS:
        ratio, kl = {}, {}
        for side in ("chosen", "rejected"):
            response = list(getattr(pair, side))
            p, q = (log_probs(m, list(pair.prompt), response) for m in (policy, reference))
            t = torch.arange(len(response))
            ratio[side] = (p[t, response] - q[t, response]).sum()
            kl[side] = (q.exp() * (q - p)).sum()
        u = BETA * ratio["chosen"] - BETA * ratio["rejected"]
        if name == "tdpo1":
            delta = BETA * kl["rejected"] - BETA * kl["chosen"]
        else:
            delta = alpha * (BETA * kl["rejected"] - (BETA * kl["chosen"]).detach())
        losses.append(-torch.nn.functional.logsigmoid(u - delta))
    return torch.stack(losses).mean()


def by_the_engine(policy: Any, reference: Any, name: str, **args: float) -> torch.Tensor:
    """Return the mean loss of one row, the reference's hidden states taken first."""
    loss = resolve_loss(name, PLUGINS, args)
    engine, frozen = attach(policy), TokenLogps(reference)
    with torch.no_grad():
        hidden, reference_logps = frozen.hidden(frozen.row(PAIRS)), frozen(frozen.row(PAIRS))
    row = engine.row(PAIRS)
    ones = torch.ones(len(row.targets), dtype=torch.float64)
    pairs: Any = [SimpleNamespace(pair=SimpleNamespace(pair=SimpleNamespace(where="a row")))]
    batch = PairBatch(row, reference_logps, ones, ones, ones, pairs, reference_hidden=hidden)
    distribution = distribution_of((), loss, lambda: reference_head(reference))
    row_loss = RowLoss(loss, BETA, distribution)
    logps, values = row_loss.policy(policy, batch)
    found, _ = row_loss(batch, logps, values)
    return found.losses.mean()


def gradients(loss: torch.Tensor, model: Any) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad]))


@pytest.mark.parametrize(
    ("name", "args"), [("tdpo1", {}), ("tdpo2", {}), ("tdpo2", {"alpha": 1.7})]
)
def test_loss_and_gradients_equal_the_formula_of_the_paper(
    name: str, args: dict[str, float]
) -> None:
    policy, reference = models()
    expected = of_the_paper(policy, reference, name, args.get("alpha", 0.5))
    wanted = gradients(expected, policy)
    found = by_the_engine(policy, reference, name, **args)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    for a, b in zip(gradients(found, policy), wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-10)


def test_alpha_0_is_dpo() -> None:
    policy, reference = models()
    expected = of_the_paper(policy, reference, "tdpo2", 0.0)
    found = by_the_engine(policy, reference, "tdpo2", alpha=0.0)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)


# -- in a run -------------------------------------------------------------------------------------


def test_a_run_starts_at_log_2_and_logs_the_kl_of_both_sides(
    make_trainer: Callable[..., TGDPOTrainer], run_record: Callable[..., dict[str, Any]]
) -> None:
    trainer = make_trainer(loss_type="tdpo2", loss_args={"alpha": 1.0}, num_train_epochs=2)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "loss/kl_chosen" in row]
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert rows[0]["loss/kl_chosen"] == pytest.approx(0, abs=1e-4)
    assert rows[-1]["loss/kl_rejected"] > 1e-3
    record = run_record(trainer.args.output_dir)
    assert record["loss"]["options"] == {"alpha": 1.0}
    assert record["store"]["passes"]["reference_values:hidden"]["computed"] == 12
    again = make_trainer(run="again", loss_type="tdpo1")
    assert again._facts["store"]["computed"] == 0


def test_a_run_without_kl_stores_no_hidden_states(
    make_trainer: Callable[..., TGDPOTrainer], tmp_path: Path
) -> None:
    make_trainer(loss_type="sigmoid")
    keys = [json.loads(path.read_text()) for path in (tmp_path / "store").rglob("key.json")]
    assert {key["kind"] for key in keys} == {"logps", "token_rewards"}
