"""Engines by name: what a command asks for, opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tgdpo_core.errors import UsageError, did_you_mean
from tgdpo_core.generation.engine import Engine
from tgdpo_core.models.loading import NO_TRUST, Trust
from tgdpo_core.models.precision import Precision

EngineName = Literal["transformers", "vllm", "openai"]


@dataclass(frozen=True)
class EngineSettings:
    """Which engine answers, and how it runs.

    Attributes:
        name: of the engine.
        batch_size: answers drawn together (``transformers``).
        precision: number formats (``transformers``, ``vllm``).
        trust: what the files of a model may do.
        args: further options of the engine, see ``docs/generation.md``.
    """

    name: EngineName = "transformers"
    batch_size: int = 64
    precision: Precision = field(default_factory=Precision)
    trust: Trust = NO_TRUST
    args: Mapping[str, str] = field(default_factory=dict)


def open_engine(model: str, settings: EngineSettings) -> Engine:
    """Return an engine with its model.

    Args:
        model: a run folder, a folder or a Hub id; of ``openai`` the name of the served model.
        settings: which engine.

    Raises:
        UsageError: an unknown engine or option, a missing package, or a model that cannot be read.
    """
    if settings.name == "openai":
        from tgdpo_core.generation.served import open_served

        return open_served(model, settings.args)
    if settings.name == "vllm":
        from tgdpo_core.generation.in_vllm import open_vllm

        return open_vllm(model, settings.args, precision=settings.precision, trust=settings.trust)
    if settings.name not in get_args(EngineName):
        raise UsageError(
            f"Unknown engine '{settings.name}'. {did_you_mean(settings.name, get_args(EngineName))}"
        )
    if settings.args:
        raise UsageError(f"The engine transformers has no options; got {', '.join(settings.args)}.")
    return open_in_process(model, settings)


def open_in_process(model: str, settings: EngineSettings) -> Any:
    """Return the engine ``transformers`` with a model on the GPU, if there is one."""
    import torch

    from tgdpo_core.generation.in_process import InProcess
    from tgdpo_core.models.fingerprints import model_fingerprint
    from tgdpo_core.models.loading import load_frozen, load_tokenizer

    loaded = load_frozen(model, precision=settings.precision, trust=settings.trust)
    return InProcess(
        loaded.to("cuda" if torch.cuda.is_available() else "cpu"),
        load_tokenizer(model, trust_remote_code=settings.trust.remote_code),
        precision=settings.precision,
        batch_size=settings.batch_size,
        identity=model_fingerprint(model),
    )
