"""What is asked of distributions, in chunks, against float64 torch with all logits at once."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from tgdpo_core.engine.distribution import Asked, ReferenceHead, of_hidden
from tgdpo_core.engine.quantities import quantity
from tgdpo_core.errors import PluginError

NAMES = ("policy_entropy", "kl_reference_policy", "kl_policy_reference", "policy_top:3")
N, V, D = 11, 37, 5
HEADS = {
    "plain": (False, None, 1.0),
    "bias": (True, None, 1.0),
    "soft-cap and scale": (False, 4.0, 0.7),
    "all": (True, 3.0, 1.3),
}


def tensors(bias: bool) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return {
        "hidden": noise(N, D).requires_grad_(),
        "weight": noise(V, D).requires_grad_(),
        "bias": noise(V).requires_grad_() if bias else None,
        "targets": torch.randint(V, (N,), generator=rng),
        "reference_hidden": noise(N, D + 2),
        "reference_weight": noise(V, D + 2),
        "reference_bias": noise(V) if bias else None,
    }


def spread(log_p: torch.Tensor, log_q: torch.Tensor | None) -> Mapping[str, torch.Tensor]:
    """A function of a user's own, two columns: sum p^2, and sum_v v p_v q_v."""
    assert log_q is not None
    place = torch.arange(log_p.shape[1], dtype=log_p.dtype)
    both = [log_p.exp() ** 2, place * (log_p + log_q).exp()]
    return {"spread": torch.stack([each.sum(-1) for each in both], -1)}


def plainly(t: dict[str, Any], softcap: float | None, scale: float) -> dict[str, torch.Tensor]:
    def log_probs(hidden: Any, weight: Any, bias: Any) -> torch.Tensor:
        z = hidden @ weight.t() + (0 if bias is None else bias)
        z = z * scale
        return torch.log_softmax(softcap * torch.tanh(z / softcap) if softcap else z, -1)

    p = log_probs(t["hidden"], t["weight"], t["bias"])
    q = log_probs(t["reference_hidden"], t["reference_weight"], t["reference_bias"])
    return {
        "": p[torch.arange(N), t["targets"]],
        "policy_entropy": -(p.exp() * p).sum(-1),
        "kl_reference_policy": (q.exp() * (q - p)).sum(-1),
        "kl_policy_reference": (p.exp() * (p - q)).sum(-1),
        "policy_top:3": p.sort(-1, descending=True).values[:, :3],
        "policy_top_ids:3": p.argsort(-1, descending=True)[:, :3],
        **spread(p, q),
    }


def in_chunks(
    t: dict[str, Any], softcap: float | None, scale: float, chunk: int | None
) -> dict[str, torch.Tensor]:
    head = ReferenceHead(t["reference_weight"], t["reference_bias"], softcap, scale)
    asked = Asked([*map(quantity, NAMES), spread], t["reference_hidden"], head)
    settings = {"softcap": softcap, "scale": scale, "dtype": torch.float64, "chunk_size": chunk}
    joined, columns = of_hidden(
        t["hidden"], t["weight"], t["bias"], t["targets"], asked, **settings
    )
    logps, values = columns.split(joined)
    return {"": logps, **values}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("chunk", [1, 4, None])
def test_values_and_gradients_equal_plain_torch(head: str, chunk: int | None) -> None:
    bias, softcap, scale = HEADS[head]
    t = tensors(bias)
    found, expected = in_chunks(t, softcap, scale, chunk), plainly(t, softcap, scale)
    assert found.keys() == expected.keys()
    assert torch.equal(found["policy_top_ids:3"], expected["policy_top_ids:3"])
    rng = torch.Generator().manual_seed(4)
    totals = []
    for values in (found, expected):
        rng.manual_seed(4)
        floats = [v for v in values.values() if v.is_floating_point()]
        upstream = [torch.randn(v.shape, generator=rng, dtype=v.dtype) for v in floats]
        totals.append(sum((v * u).sum() for v, u in zip(floats, upstream, strict=True)))
    for name, values in found.items():
        assert torch.allclose(values, expected[name], rtol=0, atol=1e-12), name
    leaves = [t[name] for name in ("hidden", "weight", "bias") if t[name] is not None]
    for a, b in zip(*(torch.autograd.grad(total, leaves) for total in totals), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11)


def test_what_has_no_probability_counts_for_nothing() -> None:
    log_p = torch.tensor([[math.log(0.5), math.log(0.5), -math.inf]], requires_grad=True)
    found = quantity("policy_entropy")(log_p, None)["policy_entropy"]
    (gradient,) = torch.autograd.grad(found.sum(), log_p)
    assert found.item() == pytest.approx(math.log(2))
    assert gradient.isfinite().all()


def test_no_token_gives_no_value() -> None:
    t = tensors(bias=False)
    t = {k: v if "weight" in k or v is None else v[:0] for k, v in t.items()}
    assert {len(v) for v in in_chunks(t, None, 1.0, None).values()} == {0}


def test_more_top_tokens_than_the_vocabulary_has_are_refused() -> None:
    log_p = torch.zeros(2, 5).log_softmax(-1)
    assert quantity("policy_top:5", "loss 'x'")(log_p, None)["policy_top:5"].shape == (2, 5)
    with pytest.raises(PluginError, match=r"^loss 'x' needs the 6 most likely .* vocabulary has 5"):
        quantity("policy_top:6", "loss 'x'")(log_p, None)


@pytest.mark.parametrize("name", ["policy_top:0", "policy_top:", "policy_logits", "entropy"])
def test_other_names_are_no_quantity(name: str) -> None:
    with pytest.raises(KeyError):
        quantity(name)
