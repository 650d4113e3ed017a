"""Options of commands that generate answers: which engine, how answers are drawn, in which format.

``tgdpo evaluate``, ``generate``, ``pairs`` and ``export`` have the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tgdpo_cli.option_sets import option_set
from tgdpo_cli.recipe_options import key_value

if TYPE_CHECKING:
    from tgdpo_core.generation.door import Answers
    from tgdpo_core.generation.engine import Engine
    from tgdpo_core.generation.engines import EngineSettings
    from tgdpo_core.generation.sampling import Sampling
    from tgdpo_core.models.loading import Trust
    from tgdpo_core.models.precision import Precision

_OPTIONS = [
    click.option(
        "--engine",
        type=click.Choice(["transformers", "vllm", "openai"]),
        default="transformers",
        show_default=True,
        help="What answers; openai: MODEL is the name of a model that a server has.",
    ),
    click.option(
        "--engine-arg",
        "engine_args",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the engine, such as url=http://localhost:8000/v1 (repeatable).",
    ),
    click.option(
        "--samples",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        help="Random answers a prompt.",
    ),
    click.option("--greedy", is_flag=True, help="Also the greedy answer to each prompt."),
    click.option("--temperature", type=float, default=1.0, show_default=True),
    click.option(
        "--top-p",
        type=float,
        default=1.0,
        show_default=True,
        help="Draw from the likeliest tokens that sum up to it.",
    ),
    click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True),
    click.option("--system", help="Text of a system message in front of every prompt."),
    click.option(
        "--prompt-form",
        type=click.Choice(["auto", "chat", "raw"]),
        default="auto",
        show_default=True,
        help="chat: text is a user's message; raw: text is gone on from; auto: as the rows are.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Answers drawn together (transformers); changes none.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16", "mixed"]),
        default="auto",
        show_default=True,
        help="Number format of the weights; mixed: float32 under bfloat16 autocast; auto: as the "
        "run was judged in training, else float32.",
    ),
]
NAMES = (
    "engine",
    "engine_args",
    "samples",
    "greedy",
    "temperature",
    "top_p",
    "max_new_tokens",
    "system",
    "prompt_form",
    "seed",
    "batch_size",
)
"""The parameters of the options, but for ``dtype``, which models that are not asked have, too."""


generation_options = option_set(_OPTIONS)
"""Adds the options to a command; their values go to ``generation``."""


@dataclass(frozen=True)
class Generating:
    """What the options mean.

    Attributes:
        sampling: how answers are drawn.
        engine: which engine.
        document: JSON that says both, for records.
    """

    sampling: "Sampling"
    engine: "EngineSettings"
    document: Mapping[str, Any]

    def answers(self, engine: "Engine", prompts: Sequence[Any], label: str) -> "Answers":
        """Return the answers to prompts, kept in the store."""
        from tgdpo_core.generation.door import generate
        from tgdpo_core.store.folder import default_store_path

        return generate(
            engine, prompts, self.sampling, store=Path(default_store_path()), label=label
        )


def generation(values: Mapping[str, Any], models: Sequence[str], trust: "Trust") -> Generating:
    """Return what the options of a command mean.

    Args:
        values: of the options by parameter.
        models: that will answer, for ``--dtype auto``.
        trust: what their files may do.

    Raises:
        UsageError: values that cannot be meant, or runs that were judged in several precisions.
    """
    from tgdpo_core.generation.engines import EngineSettings
    from tgdpo_core.generation.sampling import Sampling

    args = dict(key_value(text, "--engine-arg") for text in values["engine_args"])
    sampling = Sampling(
        samples=values["samples"],
        greedy=values["greedy"],
        temperature=values["temperature"],
        top_p=values["top_p"],
        max_new_tokens=values["max_new_tokens"],
        seed=values["seed"],
        system=values["system"],
        form=values["prompt_form"],
    )
    if values["engine"] == "openai" and values["dtype"] != "auto":
        raise click.UsageError("--dtype: a server has its own number formats. Leave it out.")
    precision = precision_of(values["dtype"], models)
    settings = EngineSettings(values["engine"], values["batch_size"], precision, trust, args)
    document = {
        **asdict(sampling),
        "engine": settings.name,
        "engine_args": args,
        "precision": None if settings.name == "openai" else precision.document(),
    }
    return Generating(sampling, settings, document)


def precision_of(dtype: str, models: Sequence[str]) -> "Precision":
    """Return the number formats that ``--dtype`` means.

    Raises:
        UsageError: ``auto``, and the models are runs that were judged in several precisions.
    """
    import torch

    from tgdpo_core.models.precision import Precision

    if dtype == "mixed":
        return Precision(torch.float32, torch.bfloat16)
    if dtype != "auto":
        return Precision(getattr(torch, dtype))
    from tgdpo_core.training.judged_precision import judged_precision

    return judged_precision(models)
