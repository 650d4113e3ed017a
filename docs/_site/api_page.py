"""The page of the public Python names; mkdocstrings fills in their docstrings."""

import tgdpo_core
from tgdpo_core.plugin_api import hookspecs

_INTRO = """# Python

The public names: what `from tgdpo_core import ...` gives, and the hooks through which plugins
come in. How long they stay as they are: [stability](../stability.md).

"""
_GROUPS = {
    "Training": ("TGDPOTrainer", "TGDPOConfig"),
    "Token rewards": ("TokenReward", "Example", "Spans", "ScoringContext", "Cost"),
    "Transforms and shapings": ("Transform", "Shaping"),
    "Losses": ("Loss", "PairTerms", "PairLosses"),
    "Judges and data sets": ("Judge", "Generation", "PairLikelihood", "NamedDataset"),
    "Options and hooks": ("option", "hookimpl"),
    "Models": ("Checkpoint", "load_checkpoint", "model_fingerprint", "resolve_model_path"),
    "Errors": ("TgdpoError",),
}


def api_page() -> str:
    """Return the page: every public name once; one that stands in no group comes under "Further".

    Raises:
        ValueError: a group has a name that is not public.
    """
    grouped = [name for names in _GROUPS.values() for name in names]
    if gone := set(grouped).difference(tgdpo_core.__all__):
        raise ValueError(f"docs/_site/api_page.py: no longer public: {', '.join(sorted(gone))}")
    further = tuple(name for name in tgdpo_core.__all__ if name not in grouped)
    parts = [_INTRO]
    for title, names in {**_GROUPS, "Further": further}.items():
        parts += [f"## {title}\n\n"] if names else []
        parts += [f"::: {tgdpo_core._HOME[name]}.{name}\n\n" for name in names]
    parts.append("## Hooks\n\n")
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    parts += [f"::: tgdpo_core.plugin_api.hookspecs.{name}\n\n" for name in hooks]
    return "".join(parts)
