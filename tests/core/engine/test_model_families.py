"""Every family's log-probs and gradients equal one plain forward per sequence."""

import warnings
from typing import Any

import pytest
import torch
import transformers as tf

from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds

_VOCAB = 160
_WINDOW = 8  # shorter than every prompt below
_BASE = {
    "vocab_size": _VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NO_DROPOUT = {"attention_dropout": 0.0, "hidden_dropout": 0.0}

SHARING: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "qwen2-sliding": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": _WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "mistral-sliding": ("MistralConfig", {"sliding_window": _WINDOW}),
    "phi3": ("Phi3Config", {}),
    "phi3-sliding": ("Phi3Config", {"sliding_window": _WINDOW}),
    "gemma2-sliding-softcaps": ("Gemma2Config", {"head_dim": 8, "sliding_window": _WINDOW}),
    "gemma3-sliding": (
        "Gemma3TextConfig",
        {"head_dim": 8, "sliding_window": _WINDOW, "sliding_window_pattern": 2},
    ),
    "gpt2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "resid_pdrop": 0.0}
        | {"embd_pdrop": 0.0, "attn_pdrop": 0.0},
    ),
    "opt": ("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0}),
    "gpt-neox": ("GPTNeoXConfig", {}),
    "olmo2": ("Olmo2Config", {}),
    "granite": ("GraniteConfig", {"logits_scaling": 4.0}),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
    "smollm3": ("SmolLM3Config", {}),
    "mixtral": (
        "MixtralConfig",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "qwen3-moe": (
        "Qwen3MoeConfig",
        {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "gpt-oss-sinks-sliding": (
        "GptOssConfig",
        {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}
        | {"sliding_window": _WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}
PADDING: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4, **_NO_DROPOUT}),
    "falcon": ("FalconConfig", {"alibi": False, **_NO_DROPOUT}),
    "mamba": ("MambaConfig", {"state_size": 8}),
    "llama-dynamic-rope": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
    ),
    "llama4-chunked": (
        "Llama4TextConfig",
        {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}
        | {"intermediate_size_mlp": 48, "attention_chunk_size": 8, "interleave_moe_layer_step": 2},
    ),
}


def build(config_name: str, overrides: dict[str, Any]) -> Any:
    """Return a random model whose weights are large enough that a wrong mask shows."""
    torch.manual_seed(0)
    config = getattr(tf, config_name)(**{**_BASE, **overrides})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kernels that a CPU does not have
        model = tf.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model.eval()


def random_pairs() -> list[PairIds]:
    """Return four pairs with prompts longer than the sliding window."""
    generator = torch.Generator().manual_seed(1)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return torch.randint(3, _VOCAB, (length,), generator=generator).tolist()

    return [PairIds(ids(12, 30), ids(1, 20), ids(1, 20)) for _ in range(4)]


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


def gradients(model: Any, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradients of a weighted sum of log-probs, by parameter."""
    model.zero_grad()
    weights = torch.linspace(-1, 1, len(logps))
    (logps * weights).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def check_equal(config_name: str, overrides: dict[str, Any], *, layout: str) -> None:
    model = build(config_name, overrides)
    pairs = random_pairs()
    expected = plain_logps(model, pairs)
    expected_gradients = gradients(model, expected)
    engine = TokenLogps(model)
    assert engine.choice.layout == layout, engine.choice
    found = engine(engine.row(pairs))
    assert (found - expected).abs().max() <= 1e-5
    found_gradients = gradients(model, found)
    assert found_gradients.keys() == expected_gradients.keys()
    # Some gradients are zero but for rounding (a bias that softmax cancels): those are compared
    # with the size of the others.
    largest = max(gradient.norm() for gradient in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        error = (found_gradients[name] - gradient).norm()
        assert error <= 1e-5 * gradient.norm() + 1e-8 * largest, name


@pytest.mark.parametrize("family", SHARING)
def test_a_shared_row_equals_one_forward_per_sequence(family: str) -> None:
    check_equal(*SHARING[family], layout="share")


@pytest.mark.parametrize("family", PADDING)
def test_a_model_that_cannot_share_is_padded_and_exact(family: str) -> None:
    check_equal(*PADDING[family], layout="pad")


@pytest.mark.parametrize("family", ["llama", "gemma2-sliding-softcaps", "gpt2", "mixtral"])
def test_a_tail_changes_no_log_prob_and_no_gradient(family: str) -> None:
    model = build(*SHARING[family])
    pairs = random_pairs()
    plain, round_ = TokenLogps(model), TokenLogps(model, row_multiple=128)
    row = round_.row(pairs)
    assert row.input_ids.shape[1] % 128 == 0 < row.layout.tail
    expected, found = plain(plain.row(pairs)), round_(row)
    assert torch.allclose(found, expected, atol=1e-6)
    expected_gradients, found_gradients = gradients(model, expected), gradients(model, found)
    for name, gradient in expected_gradients.items():
        assert torch.allclose(found_gradients[name], gradient, rtol=1e-5, atol=1e-6), name


def test_gradient_checkpointing_keeps_a_shared_row_exact() -> None:
    model = build(*SHARING["gemma2-sliding-softcaps"]).train()
    pairs = random_pairs()
    engine = TokenLogps(model)
    expected = gradients(model, engine(engine.row(pairs)))
    # The name that transformers 5.17 has, and the one it has since.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable()
    found = gradients(model, engine(engine.row(pairs)))
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-5, atol=1e-7), name


def test_a_shared_row_in_bfloat16_is_as_good_as_separate_rows() -> None:
    """Sharing may not add error beyond what bfloat16 costs anyway."""
    model = build(*SHARING["llama"])
    pairs = random_pairs()
    truth = plain_logps(model, pairs).detach()
    half = model.to(torch.bfloat16)
    separate = (plain_logps(half, pairs) - truth).detach().abs().mean()
    engine = TokenLogps(half)
    assert engine.choice.layout == "share", engine.choice
    shared = (engine(engine.row(pairs)) - truth).detach().abs().mean()
    assert shared <= 1.5 * separate + 1e-3
