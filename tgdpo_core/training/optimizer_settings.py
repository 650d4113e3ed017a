"""Settings of optimizer and learning rate schedule, tried on one number before anything is read."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from tgdpo_core.errors import did_you_mean
from tgdpo_core.training.low_bit_adamw import optimizer_of

_SET_BY_THE_RUN = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")
_TRIED = ("1", "2")  # values that tell a setting that is read from one that is not
_STEPS = 4


def check_optimizer_settings(args: Any) -> None:
    """Refuse ``optim_args`` and ``lr_scheduler_kwargs`` that would fail later, or change nothing.

    Args:
        args: complete ``TrainingArguments``.

    Raises:
        ValueError: the optimizer or the schedule does not take them.
    """
    if args.optim_args:
        _check_optimizer(args)
    if args.lr_scheduler_kwargs:
        _check_schedule(_plain(args.lr_scheduler_type), args.lr_scheduler_kwargs)


def _check_optimizer(args: Any) -> None:
    given = _pairs(args.optim_args)
    name = _plain(args.optim)
    try:
        unread = [key for key in given if not _is_read(args, given, key)]
        if not unread:
            _build(args, given)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"'optim_args={args.optim_args}' does not fit {name}: {error}") from error
    if unread:
        raise ValueError(
            f"'optim_args' has no effect here: the optimizer {name} does not read '{unread[0]}'"
        )


def _pairs(text: str) -> dict[str, str]:
    """Return the settings that a text holds."""
    found = {}
    for pair in text.replace(" ", "").split(","):
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise ValueError(f"'optim_args={text}': expected KEY=VALUE, with commas between them")
        found[key] = value
    return found


def _is_read(args: Any, given: Mapping[str, str], key: str) -> bool:
    """Return whether any value of a setting would change the optimizer."""
    without = str(_optimizer(args, {k: value for k, value in given.items() if k != key}))
    for value in (given[key], *_TRIED):
        try:
            if str(_optimizer(args, {**given, key: value})) != without:
                return True
        except (TypeError, ValueError, AttributeError):
            if value == given[key]:
                raise
            return True
    return False


def _optimizer(args: Any, settings: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    """Return class and arguments of the optimizer of a model with one linear layer."""
    import torch

    tried = copy.copy(args)
    tried.optim_args = ",".join(f"{key}={value}" for key, value in settings.items()) or None
    if tried.optim_target_modules:
        tried.optim_target_modules = "all-linear"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    return optimizer_of(tried, layer)


def _build(args: Any, settings: Mapping[str, str]) -> None:
    """Make the optimizer, where it needs no more than parameters."""
    import torch

    cls, kwargs = _optimizer(args, settings)
    is_plain = isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    if is_plain and not kwargs.keys() & {"params", "model", "optimizer_dict"}:
        cls([torch.nn.Parameter(torch.zeros(2))], **kwargs)


def _check_schedule(name: str, settings: Mapping[str, Any]) -> None:
    from transformers import SchedulerType
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    if name in ("constant", "constant_with_warmup"):
        raise ValueError(f"'lr_scheduler_kwargs' has no effect here: the schedule {name} has none")
    function: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]
    parameters = inspect.signature(function).parameters.values()
    if all(p.kind is not p.VAR_KEYWORD for p in parameters):
        known = [p.name for p in parameters if p.name not in _SET_BY_THE_RUN]
        for key in settings:
            if key not in known:
                raise ValueError(
                    f"'lr_scheduler_kwargs': the schedule {name} does not take '{key}'. "
                    f"{did_you_mean(key, known) if known else 'It takes none.'}"
                )
    try:
        _run_schedule(name, settings)
    except Exception as error:
        raise ValueError(
            f"'lr_scheduler_kwargs={dict(settings)}' does not fit {name}: {error}"
        ) from error


def _run_schedule(name: str, settings: Mapping[str, Any]) -> None:
    """Make the schedule, and go a few steps where it needs no metric for that."""
    import torch
    from transformers.optimization import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(
        name,
        optimizer,
        num_warmup_steps=0,
        num_training_steps=_STEPS,
        scheduler_specific_kwargs=dict(settings),
    )
    if isinstance(schedule, torch.optim.lr_scheduler.LambdaLR):
        for _ in range(_STEPS):
            optimizer.step()
            schedule.step()


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))
