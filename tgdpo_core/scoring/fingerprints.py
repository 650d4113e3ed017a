"""Names for things by their content: what a stored value depends on.

A fingerprint moves when the thing changes and only then: not with its path, its time stamp, or the
process that computes it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from tgdpo_core.errors import UsageError
from tgdpo_core.store.folder import canonical_hash

_BLOCK = 16 * 2**20
_WEIGHTS = ("*.safetensors", "*.bin")
_CONFIGS = ("config.json", "adapter_config.json")
_TOKENIZERS = ("tokenizer*", "*.jinja", "vocab*", "merges.txt", "*_tokens*.json")
# Entries of a config that say who wrote it, not what the model computes.
_NOT_IDENTITY = ("_name_or_path", "transformers_version", "use_cache")


def model_fingerprint(
    name_or_path: str, *, revision: str | None = None, with_tokenizer: bool = False
) -> dict[str, Any]:
    """Return JSON that identifies a model's weights: file hashes, or a Hub id with its commit.

    Args:
        name_or_path: a finished run folder, a local model folder, or a Hub id.
        revision: a Hub branch, tag or commit.
        with_tokenizer: whether the files of the model's own tokenizer count (a commit names them).

    Raises:
        UsageError: the folder holds no model, or the Hub id cannot be resolved.
    """
    folder = resolve_model_path(name_or_path)
    if isinstance(folder, Path):
        files = _hash_folder(folder)
        if with_tokenizer:
            found = (path for name in _TOKENIZERS for path in sorted(folder.glob(name)))
            files |= {path.name: file_hash(path) for path in found if path.is_file()}
        return {"files": files}
    return {"hub": folder, "commit": _hub_commit(folder, revision)}


def resolve_model_path(name_or_path: str) -> Path | str:
    """Return the model folder that a name stands for: a run's ``model/``, the folder itself, or
    the name unchanged if nothing local has it (a Hub id).

    Raises:
        UsageError: a run folder without a finished model, or a path that does not exist.
    """
    path = Path(name_or_path).expanduser()
    if not path.is_dir():
        if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:
            raise UsageError(f"Model '{name_or_path}': no such folder.")
        return name_or_path
    if (path / "run.json").is_file():
        if not (path / "model").is_dir():
            raise UsageError(
                f"Run folder '{name_or_path}' holds no finished model (model/ is written when a "
                "run is done). Finish it with --resume, or name one of its checkpoints."
            )
        path = path / "model"
    if not any((path / name).is_file() for name in _CONFIGS):
        raise UsageError(f"Folder '{path}' holds no model: config.json is missing.")
    return path


def loaded_model_fingerprint(model: Any) -> dict[str, Any]:
    """Return JSON that identifies a model in memory: its config and a hash of every tensor."""
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(_tensor_bytes(tensor))
    return {"tensors": digest.hexdigest(), "config": _config_identity(model.config.to_dict())}


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Return a hash of what decides a fast tokenizer's ids: its model, rules and added tokens."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # Truncation and padding are settings of a call, not of the tokenizer.
    state.pop("truncation", None)
    state.pop("padding", None)
    return canonical_hash({"tokenizer": state, "chat_template": tokenizer.chat_template})


def vocabulary_fingerprint(tokenizer: Any) -> str:
    """Return a hash of token strings and their ids; where equal, models share their tokens."""
    return canonical_hash({"vocabulary": tokenizer.get_vocab()})


def file_hash(path: Path) -> str:
    """Return the xxh3-128 hex digest of a file."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _hash_folder(folder: Path) -> dict[str, str]:
    hashes = {}
    for name in _CONFIGS:
        if (folder / name).is_file():
            hashes[name] = _config_identity(json.loads((folder / name).read_text()))
    for pattern in _WEIGHTS:
        hashes |= {path.name: file_hash(path) for path in sorted(folder.glob(pattern))}
    return hashes


def _config_identity(config: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in config.items() if name not in _NOT_IDENTITY}
    return canonical_hash(json.loads(json.dumps(kept, default=str)))


def _hub_commit(name: str, revision: str | None) -> str:
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        resolved = cached_file(name, "config.json", revision=revision)
        commit = extract_commit_hash(resolved, None)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Model '{name}' is neither a local folder nor a model of the Hub that can be reached: "
            f"{error}"
        ) from error
    return str(commit or revision or "")


def _tensor_bytes(tensor: Any) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().view(-1)
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else memoryview(b"")
