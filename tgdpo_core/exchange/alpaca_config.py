"""The ``configs.yaml`` by which AlpacaEval names a model and draws its answers again."""

from collections.abc import Mapping
from typing import Any

import yaml

from tgdpo_core.data.model_text import PairReader
from tgdpo_core.data.pairs import PreferencePair

_PLACE = "tgdpo-instruction-stands-here"


def alpaca_config(
    model: str, *, path: str, link: str | None, settings: Mapping[str, Any] | None
) -> str:
    """Return the YAML of ``models_configs/MODEL/configs.yaml``.

    Args:
        model: its name, the only key.
        path: of the model; what AlpacaEval would load.
        link: where people find it; None: nowhere.
        settings: how answers were drawn, under the names of AlpacaEval's
            ``huggingface_local_completions``; None: not known (a file of answers), and left out.
    """
    entry: dict[str, Any] = {}
    if settings is not None:
        entry = {
            "prompt_template": f"{model}/prompt.txt",
            "fn_completions": "huggingface_local_completions",
            "completions_kwargs": {"model_name": path, **settings},
        }
    entry["pretty_name"] = model
    if link:
        entry["link"] = link
    return yaml.safe_dump({model: entry}, sort_keys=False, allow_unicode=True)


def prompt_template(tokenizer: Any, system: str | None) -> str:
    """Return the text that the model is sent, with ``{instruction}`` where the user's text goes."""
    messages = [{"role": "system", "content": system}] if system else []
    prompt = [*messages, {"role": "user", "content": _PLACE}]
    text = PairReader(tokenizer).prompt(PreferencePair(prompt, "", "", "prompt.txt")).text
    return text.replace(_PLACE, "{instruction}")
