"""What a user may hand to the trainer, turned into what the trainer works with."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from tgdpo_core.errors import UsageError
from tgdpo_core.models.adapters import require_supported
from tgdpo_core.models.checks import (
    require_trainable,
)
from tgdpo_core.models.loading import (
    Policy,
    load_policy,
    load_tokenizer,
)
from tgdpo_core.models.paths import locate
from tgdpo_core.models.precision import (
    Precision,
    require_bfloat16,
    require_trainable_formats,
    stuck_weights,
)
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.manager import PluginManager
from tgdpo_core.plugin_api.transforms import Transform
from tgdpo_core.recipe.rounding import rounds_stochastically
from tgdpo_core.scoring.loss_choice import checked_loss, resolve_loss
from tgdpo_core.scoring.sources import (
    RewardSource,
    find_source,
    source_of_entry,
    source_of_instance,
)
from tgdpo_core.training.config import TGDPOConfig

logger = logging.getLogger(__name__)


def given_policy(model: Any, args: TGDPOConfig) -> Policy:
    """Return the policy of what ``TGDPOTrainer(model=...)`` accepts: a name, a model, a ``Policy``.

    Its dropout is switched off. Weights of a name are float32: an update of 1e-6 is below what
    bfloat16 can add.

    Raises:
        UsageError: nothing there that can be loaded, nothing of it can be trained, or its weights
            are not of the format that the optimizer is to round.
    """
    if isinstance(model, str | Path):
        model = load_policy(locate(str(model)), precision=Precision())
    policy = model if isinstance(model, Policy) else Policy(model)
    require_supported(policy.model, "The policy")
    require_trainable(policy.model)
    require_trainable_formats(policy.model)
    rounds = rounds_stochastically({"optim": args.optim, "optim_args": args.optim_args})
    if rounds:
        require_bfloat16(policy.model)
    warning = None if rounds else stuck_weights(policy.model, args.learning_rate)
    if warning and PartialState().is_main_process:
        logger.warning("%s", warning)
    disable_dropout(policy.model)
    return policy


def tokenizer_of(model: Any) -> Any:
    """Return the tokenizer beside what ``TGDPOTrainer(model=...)`` was given.

    Raises:
        UsageError: there is none.
    """
    if isinstance(model, Policy):
        model = model.model
    named = str(model) if isinstance(model, str | Path) else model.config._name_or_path
    if not named:
        raise UsageError("The model has no folder to load a tokenizer from: give processing_class.")
    return load_tokenizer(named)


def given_loss(
    loss: Loss | tuple[str, Loss] | None, args: TGDPOConfig, plugins: PluginManager
) -> tuple[str, Loss]:
    """Return the loss with its name of what ``TGDPOTrainer(loss=...)`` accepts."""
    if loss is None:
        return resolve_loss(
            args.loss_type,
            plugins,
            args.loss_args,
            label_smoothing=args.label_smoothing,
            simpo_gamma=args.simpo_gamma,
        )
    return checked_loss(*(loss if isinstance(loss, tuple) else (type(loss).__name__, loss)))


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


def disable_dropout(model: torch.nn.Module) -> None:
    """Set every dropout probability to 0: log-ratios compare two fixed functions.

    Layers that call dropout as a function keep its probability as a float attribute.
    """
    for module in model.modules():
        for name, value in list(vars(module).items()):
            is_dropout = "drop" in name or (name == "p" and isinstance(module, torch.nn.Dropout))
            if isinstance(value, float) and is_dropout:
                setattr(module, name, 0.0)


def name_of(model: Any) -> str:
    """Return what a model was loaded from; empty where nobody knows."""
    if isinstance(model, str):
        return model
    return str(getattr(getattr(model, "config", None), "_name_or_path", "") or "")
