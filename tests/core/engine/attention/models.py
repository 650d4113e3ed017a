"""Small models of several families, pairs, and the truth about them."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds

WINDOW = 8  # shorter than every prompt below
_VOCAB = 160
_SIZES = {
    "vocab_size": _VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {},
    "mistral": {"sliding_window": WINDOW},
    "gemma2": {"sliding_window": WINDOW},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
}


def tiny_model(family: str, **overrides: Any) -> Any:
    """Return a random model whose weights are large enough that a wrong mask shows."""
    torch.manual_seed(0)
    settings = {**_SIZES, **_FAMILIES[family], **overrides}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model.eval()


def random_pairs(number: int = 4, seed: int = 1) -> list[PairIds]:
    """Return pairs with prompts longer than the sliding window."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(3, _VOCAB, (length,), generator=generator).tolist()

    return [PairIds(ids(12, 30), ids(1, 20), ids(1, 20)) for _ in range(number)]


def plain_logps(model: Any, pairs: list[PairIds]) -> torch.Tensor:
    """Return log-probs by one ordinary forward for each sequence."""
    parts = []
    for pair in pairs:
        for response in (pair.chosen, pair.rejected):
            ids = torch.tensor([[*pair.prompt, *response]])
            logits = model(input_ids=ids, use_cache=False).logits[0, len(pair.prompt) - 1 : -1]
            targets = torch.tensor(response)[:, None]
            parts.append(logits.float().log_softmax(-1).gather(1, targets)[:, 0])
    return torch.cat(parts)


def plain_logps_of(engine: TokenLogps, pairs: list[PairIds]) -> torch.Tensor:
    """Return the same through an engine, whose model may be left on shared rows."""
    return plain_logps(engine.plain, pairs)


def gradients(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradients of a weighted sum of log-probs, by parameter."""
    model.zero_grad()
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def results(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return log-probs and gradients by name."""
    return {"log-probs": logps.detach(), **gradients(model, logps)}


def worst_error(found: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> float:
    """Return the largest relative error; what is zero but for rounding is held against the rest."""
    assert found.keys() == truth.keys()
    largest = max(value.norm() for value in truth.values())
    return max(
        ((found[n] - truth[n]).norm() / (truth[n].norm() + 1e-3 * largest)).item() for n in truth
    )


def shared_row_results(model: Any, **settings: Any) -> tuple[TokenLogps, dict[str, torch.Tensor]]:
    """Return an engine, and what a row through it gives."""
    engine = TokenLogps(model, **settings)
    return engine, results(model, engine(engine.row(random_pairs())))
