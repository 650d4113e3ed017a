"""What a model's generation_config.json says of sampling: not used, and said once."""

import contextlib
from collections.abc import Iterator
from typing import Any

from tgdpo_core.generation.stopping import say_once

# What generation_config.json says beside how an answer is drawn; `stop_ids` reads the EOS.
_NO_SAMPLING = (
    "_",
    "bos_",
    "cache_",
    "do_sample",
    "eos_",
    "output_",
    "pad_",
    "return_",
    "transformers_",
    "use_cache",
)


@contextlib.contextmanager
def own_settings_unused(model: Any) -> Iterator[None]:
    """Put an empty generation config in place of the model's, of which ``generate`` fills in all
    that a call leaves unset; say once what is not used.
    """
    from transformers import GenerationConfig

    owner = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft
    own = owner.generation_config
    say_unused(own)
    owner.generation_config = GenerationConfig()
    try:
        yield
    finally:
        owner.generation_config = own


def say_unused(own: Any) -> None:
    """Say once what of a generation config is not used."""
    settings = {
        name: value
        for name, value in own.to_diff_dict().items()
        if value is not None and not name.startswith(_NO_SAMPLING)
    }
    if settings:
        said = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
        say_once(f"The model's generation_config.json is not used for its answers: {said}.")
