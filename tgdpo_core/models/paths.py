"""What the name of a model stands for: a folder, a run, an adapter on a base, or a Hub id.

Nothing here loads a model or torch.
"""

import functools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.models.failures import one_line_errors

logger = logging.getLogger(__name__)

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
RECORD_FORMAT = 1  # another way to make fingerprints must not look like another model
_CONFIGS = (CONFIG, ADAPTER_CONFIG)
BASE_RECORD = "base_model.json"
"""Written beside an adapter of ours: where its base model was, and what it contained."""


@dataclass(frozen=True)
class ModelSource:
    """A model that was found.

    Attributes:
        name: as the user said it, for messages.
        location: its folder, or a Hub id.
        revision: Hub branch, tag or commit.
        adapter: what ``adapter_config.json`` says, for an adapter.
        base: what an adapter stands on, which may be an adapter itself.
    """

    name: str
    location: Path | str
    revision: str | None = None
    adapter: Mapping[str, Any] | None = None
    base: "ModelSource | None" = None

    @property
    def folder(self) -> Path | None:
        """The folder, or None for a model of the Hub."""
        return self.location if isinstance(self.location, Path) else None

    @property
    def chain(self) -> "list[ModelSource]":
        """This model, and what it stands on."""
        return [self, *(self.base.chain if self.base else ())]

    @property
    def root(self) -> "ModelSource":
        """The whole model at the bottom: this one, or the base of its adapters."""
        return self.base.root if self.base else self

    def file(self, name: str) -> Path | None:
        """Return a file of the model, fetched from the Hub where need be; None: no such file.

        Raises:
            UsageError: the Hub cannot be reached, or has no such model.
        """
        path = self.folder / name if self.folder else hub_file(self.location, name, self.revision)
        return path if path and path.is_file() else None

    def text(self, name: str) -> str | None:
        """Return the text of a file of the model; None: no such file."""
        path = self.file(name)
        return path.read_text(encoding="utf-8") if path else None


def locate(name_or_path: str, revision: str | None = None) -> ModelSource:
    """Return where a model is, and for an adapter also where its base model is.

    Raises:
        UsageError: nothing there, or an adapter whose base model cannot be found.
    """
    return _locate(name_or_path, revision, ())


def resolve_model_path(name_or_path: str) -> Path | str:
    """Return the model folder that a name stands for: a run's ``model/``, the folder itself, or
    the name unchanged if nothing local has it (a Hub id).

    Raises:
        UsageError: a run folder without a finished model, or a path that does not exist.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        raise UsageError(f"Model '{name_or_path}' is a file; give the folder of a model. {_GGUF}")
    if not path.is_dir():
        return _hub_id(name_or_path, path)
    if (path / "run.json").is_file():
        if not (path / "model").is_dir():
            raise UsageError(
                f"Run folder '{name_or_path}' holds no finished model (model/ is written when a "
                "run is done). Finish it with --resume, or name one of its checkpoints."
            )
        path = path / "model"
    if not any((path / name).is_file() for name in _CONFIGS):
        hint = f" {_GGUF}" if any(path.glob("*.gguf")) else ""
        raise UsageError(f"Folder '{path}' holds no model: config.json is missing.{hint}")
    return path


_GGUF = "GGUF files are not read: convert them to safetensors first."


def _hub_id(name: str, path: Path) -> str:
    """Return a name that is no folder, if it can be one of the Hub."""
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    parent = path.parent
    if is_path or (len(path.parts) > 1 and parent.is_dir()):
        near = (
            "" if is_path else f" ('{parent}' is a folder here, so it is not looked for elsewhere)"
        )
        raise UsageError(f"Model '{name}': no such folder{near}.")
    if not _HUB_ID.fullmatch(name):
        raise UsageError(f"Model '{name}': no such folder, and no name that the Hub can have.")
    return name


# Letters, digits, - _ . in one or two parts, as huggingface_hub checks them.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def _locate(name: str, revision: str | None, above: tuple[str, ...]) -> ModelSource:
    source = ModelSource(name, resolve_model_path(name), revision)
    text = source.text(ADAPTER_CONFIG)
    if text is None:
        if not source.folder:
            source.text(CONFIG)  # a model of the Hub has one of the two, or is not there
        return source
    if str(source.location) in above:
        raise UsageError(f"Adapter '{name}' is its own base model: see its {ADAPTER_CONFIG}.")
    config = _parsed(text, f"{name}: {ADAPTER_CONFIG}")
    base = _base(source, config, (*above, str(source.location)))
    return ModelSource(name, source.location, revision, config, base)


def _base(adapter: ModelSource, config: Mapping[str, Any], above: tuple[str, ...]) -> ModelSource:
    """Return the base model of an adapter: the first place that has it, and has it unchanged.

    peft writes the path as it was given, relative to where the run was started.
    """
    record = base_record(adapter)
    written = config.get("base_model_name_or_path")
    named = record.get("name_or_path") or written
    if not isinstance(named, str):
        raise UsageError(f"Adapter '{adapter.name}': its {ADAPTER_CONFIG} names no base model.")
    revision = record.get("revision") or config.get("revision")
    refusals: list[str] = []
    for place in _places([named, written or named, record.get("from_adapter")], adapter.folder):
        try:
            found = _locate(place, revision, above)
            _require_unchanged(found, record, adapter)
        except UsageError as error:
            refusals.append(str(error))
        else:
            if place not in (named, written):
                logger.warning("Adapter '%s': its base model is %s.", adapter.name, place)
            return found
    raise UsageError(
        f"Adapter '{adapter.name}' cannot be used without its base model '{named}': "
        f"{' '.join(refusals)}"
    )


def _places(names: Sequence[str | None], folder: Path | None) -> list[str]:
    """Return where a base model may be: as written, then under the adapter's folder and above it.

    A relative path looks like a Hub id, so folders come first.
    """
    given = [name for name in dict.fromkeys(names) if name]
    above = [folder, *folder.resolve().parents] if folder else []
    found = [name for name in given if Path(name).expanduser().is_dir()]
    found += [str(place / name) for name in given for place in above if (place / name).is_dir()]
    return list(dict.fromkeys([*found, given[0]]))


def _require_unchanged(found: ModelSource, record: Mapping[str, Any], adapter: ModelSource) -> None:
    from tgdpo_core.models.fingerprints import fingerprint

    if record.get("format") == RECORD_FORMAT and fingerprint(found) != record["fingerprint"]:
        raise UsageError(
            f"The base model '{found.name}' of adapter '{adapter.name}' has changed since the "
            f"adapter was trained ({BASE_RECORD} beside it says what it held)."
        )


def base_record(adapter: ModelSource) -> Mapping[str, Any]:
    """Return what was noted of an adapter's base model when it was saved; empty if nothing."""
    text = adapter.text(BASE_RECORD)
    return _parsed(text, f"{adapter.name}: {BASE_RECORD}") if text else {}


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{where} must hold a JSON object.")
    return document


@functools.cache
def hub_file(hub_id: Any, name: str, revision: str | None) -> Path | None:
    """Return a file of a Hub model, downloaded or in the cache; None: the model has no such file.

    Asked once in a process: where the network fails, each question takes a minute.

    Raises:
        UsageError: the Hub cannot be reached, or has no such model.
    """
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils.hub import cached_file

    known = (try_to_load_from_cache(hub_id, each, revision=revision) for each in _CONFIGS)
    is_cached = any(isinstance(path, str) for path in known)
    with one_line_errors(f"Model '{hub_id}' (no such folder here, so looked for on the Hub)"):
        # Without a network, a file that is not in the cache and one that does not exist look the
        # same: a model of which something is cached is taken to be cached with all its files.
        found = cached_file(
            hub_id,
            name,
            revision=revision,
            _raise_exceptions_for_missing_entries=not is_cached and name == CONFIG,
            _raise_exceptions_for_connection_errors=not is_cached,
        )
    return Path(found) if found else None
