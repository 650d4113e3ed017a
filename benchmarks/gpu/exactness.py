"""Which kernel each family gets, and how near its numbers are to a plain forward in float32."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu.families import FAMILIES, VOCABULARY, build
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds, pad_pairs

_PRECISIONS = ("bfloat16", "float32 + autocast", "float32")


def measure(device: str, *, small: bool) -> Iterator[dict[str, Any]]:
    """Yield one result for each family and precision.

    The truth is the model itself in float32, eager attention, one forward per sequence. "plain" is
    the same forward in the precision at hand: what is lost without us.
    """
    pairs = _pairs(small=small)
    for family in FAMILIES:
        try:
            truth = build(family, device, small=small)
            expected = _plain(truth, pairs)
            expected_gradient = _gradient(truth, _plain(truth, pairs))
        except Exception as error:  # noqa: BLE001 - one family must not end the others
            yield {"family": family, "error": f"{type(error).__name__}: {error}"[:300]}
            continue
        for precision in _PRECISIONS:
            yield _compare(family, precision, truth, pairs, (expected, expected_gradient))


def _compare(
    family: str, precision: str, truth: Any, pairs: list[PairIds], expected: tuple[Any, Any]
) -> dict[str, Any]:
    result: dict[str, Any] = {"family": family, "precision": precision}
    try:
        model = copy.deepcopy(truth)
        if precision == "bfloat16":
            model = model.to(torch.bfloat16)
        half = torch.bfloat16 if "autocast" in precision else None
        device = next(model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half is not None):
            plain = _plain(model, pairs)
            plain_gradient = _gradient(model, plain)
        started = time.perf_counter()
        engine = TokenLogps(model, autocast=half)
        result["probe_seconds"] = time.perf_counter() - started
        row = engine.row(pairs).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half is not None):
            found = engine(row)
        gradient = _gradient(model, found)
        choice = engine.choice
        result |= {
            "layout": choice.layout,
            "attention": choice.attention,
            "attention_reason": choice.attention_reason,
            "head": choice.head_kernel,
            "head_reason": choice.head_kernel_reason,
            "logps_rms": _rms(found, expected[0]),
            "plain_rms": _rms(plain, expected[0]),
            "gradient": _relative(gradient, expected[1]),
            "plain_gradient": _relative(plain_gradient, expected[1]),
        }
    except Exception as error:  # noqa: BLE001 - one family must not end the others
        result["error"] = f"{type(error).__name__}: {error}"[:600]
    return result


def _pairs(*, small: bool) -> list[PairIds]:
    generator = torch.Generator().manual_seed(1)
    lengths = [(30, 9, 14), (12, 5, 3)] if small else [(300, 120, 90), (100, 33, 260), (64, 5, 9)]

    def ids(length: int) -> list[int]:
        found: list[int] = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        return found

    return [PairIds(ids(p), ids(c), ids(r)) for p, c, r in lengths]


def _plain(model: Any, pairs: list[PairIds]) -> torch.Tensor:
    parts = []
    device = next(model.parameters()).device
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            row = pad_pairs([PairIds(pair.prompt, response, ())]).to(device)
            logits = model(**row.inputs()).logits.flatten(0, 1).index_select(0, row.source)
            logps = logits.float().log_softmax(-1)
            parts.append(logps.gather(1, row.targets[:, None]).squeeze(1))
    return torch.cat(parts)


def _gradient(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    weights = torch.linspace(-1, 1, len(logps), device=logps.device)
    (logps * weights).sum().backward()
    return {n: p.grad.float() for n, p in model.named_parameters() if p.grad is not None}


def _rms(found: torch.Tensor, expected: torch.Tensor) -> float:
    return (found.detach().float() - expected.detach()).square().mean().sqrt().item()


def _relative(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return |found - expected| / |expected| over all parameters together."""
    difference = sum((found[n] - expected[n]).square().sum().item() for n in expected)
    size = sum(value.square().sum().item() for value in expected.values())
    return float((difference / size) ** 0.5)
