"""What a model card may say of the model that a run began with; nothing is guessed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.errors import TgdpoError
from tgdpo_core.models.paths import resolve_model_path

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*|[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class BaseModel:
    """The model that was trained.

    Attributes:
        hub_id: of the Hub; None for a folder, or a model made in Python.
        name: how prose names it; empty where nobody knows.
        is_made: what its config says, such as ``llama, 0.1M parameters``.
        licence: as its own card names it; None where that is not known here.
    """

    hub_id: str | None
    name: str
    is_made: str
    licence: str | None


def is_hub_id(name: str) -> bool:
    """Return whether a name can be one of the Hub and is nothing on this disk."""
    path = Path(name).expanduser()
    has_folder = len(path.parts) > 1 and path.parent.is_dir()
    return bool(_HUB_ID.fullmatch(name)) and not path.exists() and not has_folder


def base_model(name: str, config: Any) -> BaseModel:
    """Return what is known of a model.

    Args:
        name: that it was loaded by; empty for one made in Python.
        config: of the model, as it is in memory.
    """
    hub_id = name if name and is_hub_id(name) else None
    shown = hub_id or (_folder_name(name) if name else "")
    return BaseModel(hub_id, shown, _made(config), _licence(name, hub_id))


def _folder_name(name: str) -> str:
    """Return the last name of a folder; of a run's ``model`` that of the run."""
    path = Path(name)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def _made(config: Any) -> str:
    parts = [str(getattr(config, "model_type", "") or "")]
    sizes = (("num_hidden_layers", "layers"), ("hidden_size", "wide"), ("vocab_size", "tokens"))
    for key, what in sizes:
        if isinstance(value := getattr(config, key, None), int):
            parts.append(f"{value} {what}")
    return ", ".join(part for part in parts if part)


def _licence(name: str, hub_id: str | None) -> str | None:
    """Return the licence that the model's own card names: of its folder, or of the cache."""
    import yaml
    from huggingface_hub import ModelCard, try_to_load_from_cache

    path: Any = try_to_load_from_cache(hub_id, "README.md") if hub_id else _card_of(name)
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return None
    try:
        licence = ModelCard.load(path, ignore_metadata_errors=True).data.license
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) else None


def _card_of(name: str) -> Path | None:
    try:
        folder = resolve_model_path(name) if name else None
    except TgdpoError:
        return None
    return folder / "README.md" if isinstance(folder, Path) else None
