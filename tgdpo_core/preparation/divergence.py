"""KL of answers that were drawn, to a reference that is loaded for it."""

from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.evaluation.divergence import sampled_kl, samples_of
from tgdpo_core.generation.door import Answers
from tgdpo_core.generation.engine import Engine
from tgdpo_core.generation.in_process import InProcess
from tgdpo_core.models.loading import Trust
from tgdpo_core.preparation.references import given_reference


def kl_of_answers(
    engine: Engine, answers: Answers, reference: str, *, trust: Trust
) -> list[list[float]]:
    """Return the KL to a reference of every random answer to each prompt, nats.

    Args:
        engine: that drew them; a model in this process.
        answers: with their token ids.
        reference: name or folder of a model, which is loaded in the engine's precision.
        trust: what its files may do.

    Raises:
        UsageError: another engine, no random answers, or a reference that reads other tokens.
    """
    if not isinstance(engine, InProcess):
        raise UsageError(
            f"KL: the engine {engine.name} has no probabilities of the whole vocabulary. Use "
            "--engine transformers."
        )
    samples = samples_of(answers.prompts, answers.drawn)
    if not any(samples):
        raise UsageError("KL is measured on random answers: ask for --samples.")
    precision = engine.precision
    loaded: Any = given_reference(
        reference, engine.tokenizer, precision=precision, trust=trust
    ).load()
    flat = [each for of_prompt in samples for each in of_prompt]
    values = iter(sampled_kl(engine.model, loaded.to(engine.model.device), flat, precision))
    return [[next(values) for _ in of_prompt] for of_prompt in samples]
