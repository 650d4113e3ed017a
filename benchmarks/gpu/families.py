"""Small random models of ten families, with the head widths of the real ones."""

import warnings
from typing import Any

import torch
import transformers

VOCABULARY = 4096
_WINDOW = 64
_BASE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"head_dim": 128}),
    "qwen2": ("Qwen2Config", {"head_dim": 64}),
    "qwen3": ("Qwen3Config", {"head_dim": 128}),
    "mistral, window": ("MistralConfig", {"head_dim": 128, "sliding_window": _WINDOW}),
    "phi3": ("Phi3Config", {"num_key_value_heads": 8}),
    "gemma2": ("Gemma2Config", {"head_dim": 256, "sliding_window": _WINDOW}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 256, "sliding_window": _WINDOW}),
    "olmo2": ("Olmo2Config", {}),
    "granite": ("GraniteConfig", {"logits_scaling": 4.0}),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
    "gpt-neox": ("GPTNeoXConfig", {"attention_dropout": 0.0, "hidden_dropout": 0.0}),
    "smollm3": ("SmolLM3Config", {}),
    "mixtral": ("MixtralConfig", {**_EXPERTS, "sliding_window": None}),
    "gpt-oss": ("GptOssConfig", {"head_dim": 64, "sliding_window": _WINDOW, **_EXPERTS}),
}


def build(family: str, device: str, *, small: bool = False) -> Any:
    """Return a float32 model whose weights are large enough that a wrong mask shows."""
    config_name, overrides = FAMILIES[family]
    values = {**_BASE, **overrides}
    if small:
        values |= {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        values |= {"head_dim": 16} if "head_dim" in values else {}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = getattr(transformers, config_name)(**values)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2)
    return model.eval().to(device)
