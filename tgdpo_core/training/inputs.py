"""What a user may hand to the trainer, turned into what the trainer works with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tgdpo_core.errors import UsageError
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.scoring.context import Precision, load_frozen
from tgdpo_core.scoring.fingerprints import (
    loaded_model_fingerprint,
    model_fingerprint,
    resolve_model_path,
)
from tgdpo_core.scoring.scored import Reference, Scorer, ScoringSettings
from tgdpo_core.scoring.sources import (
    RewardSource,
    find_source,
    source_of_entry,
    source_of_instance,
)
from tgdpo_core.scoring.store import default_store_path


def load_policy(
    model: Any,
    *,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """Return a causal language model to train; a model given as object is returned as it is.

    Weights are float32 unless asked otherwise: an update of 1e-6 is below what bfloat16 can add.

    Raises:
        UsageError: nothing there that can be loaded.
    """
    if not isinstance(model, str):
        return model
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            str(resolve_model_path(model)),
            dtype=dtype,
            revision=revision,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"Model '{model}' cannot be loaded: {error}") from error


def load_tokenizer(model: Any, *, revision: str | None = None) -> Any:
    """Return the tokenizer beside a model, with a pad token (EOS where there is none).

    Raises:
        UsageError: there is none.
    """
    from transformers import AutoTokenizer

    named = model if isinstance(model, str) else getattr(model.config, "_name_or_path", "")
    if not named:
        raise UsageError("The model has no folder to load a tokenizer from: give processing_class.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(resolve_model_path(named)), revision=revision)
    except (OSError, ValueError) as error:
        raise UsageError(f"The tokenizer of '{named}' cannot be loaded: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # never read: padding is masked by position
    return tokenizer


def resolve_sources(
    token_reward: Any, transforms: Sequence[Transform], plugins: PluginManager
) -> list[RewardSource]:
    """Return the reward sources of what ``TGDPOTrainer(token_reward=...)`` accepts."""
    named = [(type(t).__name__, t) for t in transforms]
    if isinstance(token_reward, list | tuple):
        if transforms:
            raise UsageError("With several token rewards, give each its own transforms.")
        return [s for each in token_reward for s in resolve_sources(each, (), plugins)]
    if isinstance(token_reward, RewardSource):
        return [token_reward]
    if token_reward is None or isinstance(token_reward, str):
        return [find_source(plugins, token_reward or "none", transforms=named)]
    if isinstance(token_reward, Mapping):
        return [source_of_entry(token_reward, plugins, extra=named)]
    return [source_of_instance(token_reward, named)]


def make_reference(policy: Any, named: Any, ref_model: Any, precision: Precision) -> Reference:
    """Return the reference: a model of its own, or the policy as it is before training.

    Args:
        policy: the model about to be trained.
        named: what it was loaded from, if it was (then its files name it in the store).
        ref_model: the reference, its name or folder, or None.
        precision: of a reference that must be loaded.
    """
    if isinstance(ref_model, str):
        return Reference(
            model_fingerprint(ref_model), lambda: load_frozen(ref_model, precision=precision)
        )
    if ref_model is not None:
        return Reference(loaded_model_fingerprint(ref_model), lambda: ref_model)
    if isinstance(named, str):
        return Reference(model_fingerprint(named), lambda: policy)
    return Reference(loaded_model_fingerprint(policy), lambda: policy)


def make_scorer(  # noqa: PLR0913 - one place for what decides stored values
    reference: Reference,
    sources: Sequence[RewardSource],
    tokenizer: Any,
    *,
    precision: Precision,
    device: torch.device,
    store_path: str | None = None,
    trust_remote_code: bool = False,
) -> Scorer:
    """Return what fills the store, for training and for ``tgdpo score`` alike."""
    store = Path(store_path).expanduser() if store_path else default_store_path()
    settings = ScoringSettings(store, device, precision, trust_remote_code)
    return Scorer(reference, sources, tokenizer, settings)


def with_lora(model: Any, settings: Mapping[str, Any]) -> Any:
    """Return the model with a fresh LoRA adapter; only the adapter is trained.

    The adapter's update is zero at first, so the policy before training is the base model.

    Args:
        model: a causal language model.
        settings: ``r``, ``alpha``, ``target_modules``.

    Raises:
        UsageError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UsageError("model.lora needs peft: pip install 'tgdpo[lora]'.") from error
    config = LoraConfig(
        r=settings["r"],
        lora_alpha=settings["alpha"],
        target_modules=settings["target_modules"],
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def disable_dropout(model: torch.nn.Module) -> None:
    """Set every dropout probability to 0: log-ratios compare two fixed functions.

    Layers that call dropout as a function keep its probability as a float attribute.
    """
    for module in model.modules():
        for name, value in list(vars(module).items()):
            is_dropout = "drop" in name or (name == "p" and isinstance(module, torch.nn.Dropout))
            if isinstance(value, float) and is_dropout:
                setattr(module, name, 0.0)
