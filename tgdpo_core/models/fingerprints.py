"""Names for things by their content: what a stored value depends on.

A fingerprint moves when the thing changes and only then: not with its path, its time stamp, or the
process that computes it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash

from tgdpo_core.errors import UsageError
from tgdpo_core.models.failures import one_line_errors
from tgdpo_core.models.paths import ADAPTER_CONFIG, CONFIG, ModelSource, hub_file, locate
from tgdpo_core.store.folder import canonical_hash, file_hash

_SAFE_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_PICKLED_WEIGHTS = ("pytorch_model*.bin", "adapter_model.bin", "*.bin.index.json")
_CODE = ("*.py",)
_TOKENIZERS = (
    "tokenizer*",
    "*.jinja",
    "additional_chat_templates/*",
    "vocab*",
    "merges.txt",
    "*_tokens*.json",
    "*.model",
    "*.tiktoken",
)
# Entries of a config that say who wrote it or where things lie, not what the model computes.
_NOT_IDENTITY = ("_name_or_path", "transformers_version", "use_cache")
_NOT_ADAPTER_IDENTITY = (
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "auto_mapping",
)


def model_fingerprint(
    name_or_path: str, *, revision: str | None = None, with_tokenizer: bool = False
) -> dict[str, Any]:
    """Return JSON that identifies a model's weights: file hashes, or a Hub id with its commit.

    An adapter is identified together with its base model.

    Args:
        name_or_path: a finished run folder, a local model folder, an adapter, or a Hub id.
        revision: a Hub branch, tag or commit.
        with_tokenizer: whether the files of the model's own tokenizer count (a commit names them).

    Raises:
        UsageError: the folder holds no model, or the Hub id cannot be resolved.
    """
    return fingerprint(locate(name_or_path, revision), with_tokenizer=with_tokenizer)


def fingerprint(source: ModelSource, *, with_tokenizer: bool = False) -> dict[str, Any]:
    """Return ``model_fingerprint`` of a model that was found."""
    if source.folder:
        document: dict[str, Any] = {"files": _hash_folder(source.folder, source.adapter)}
        if with_tokenizer:
            document["files"] |= _hash_files(source.folder, _TOKENIZERS)
    else:
        document = {"hub": source.location, "commit": _hub_commit(source)}
    if source.base:
        document["base"] = fingerprint(source.base)
    elif code := _code_elsewhere(source):
        document["code"] = code
    return document


def loaded_model_fingerprint(model: Any) -> dict[str, Any]:
    """Return JSON that identifies a model in memory: its class, config, adapters, attention and a
    hash of every tensor."""
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(_tensor_bytes(tensor))
    noted = vars(model).get("tgdpo_plain_attention")  # the engine's own name is not the user's
    return {
        "tensors": digest.hexdigest(),
        "class": type(model).__qualname__,
        "config": _config_identity(model.config.to_dict()),
        "attention": noted or getattr(model.config, "_attn_implementation", None),
        "adapters": _loaded_adapters(model),
    }


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


def _hash_folder(folder: Path, adapter: Mapping[str, Any] | None) -> dict[str, str]:
    """Return names and hashes of the files that decide what a model computes."""
    hashes = {}
    if adapter is not None:
        hashes[ADAPTER_CONFIG] = _adapter_identity(adapter)
    elif (folder / CONFIG).is_file():
        with one_line_errors(f"'{folder / CONFIG}'"):
            hashes[CONFIG] = _config_identity(json.loads((folder / CONFIG).read_text("utf-8")))
    # Pickles are read only where there is nothing else, and hold other things, too.
    weights = _hash_files(folder, _SAFE_WEIGHTS) or _hash_files(folder, _PICKLED_WEIGHTS)
    return hashes | weights | _hash_files(folder, _CODE)


def _hash_files(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return {
        path.relative_to(folder).as_posix(): file_hash(path) for path in found if path.is_file()
    }


def _config_identity(config: Mapping[str, Any]) -> str:
    return canonical_hash(json.loads(json.dumps(_without(config, _NOT_IDENTITY), default=str)))


def _adapter_identity(config: Mapping[str, Any]) -> str:
    kept = {
        # peft writes sets of names in no order.
        key: sorted(value) if _is_set_of_names(value) else value
        for key, value in config.items()
        if key not in _NOT_ADAPTER_IDENTITY and value is not None  # newer versions add settings
    }
    return canonical_hash(json.loads(json.dumps(kept, default=str)))


def _is_set_of_names(value: Any) -> bool:
    return isinstance(value, list | set | tuple) and all(isinstance(v, str) for v in value)


def _without(value: Any, names: tuple[str, ...]) -> Any:
    """Return a config without some entries, in its parts (``text_config``), too."""
    if isinstance(value, Mapping):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return value


def _loaded_adapters(model: Any) -> dict[str, Any]:
    """Return what is set of a model's adapters beside their tensors: empty without adapters."""
    configs: Mapping[str, Any] = getattr(model, "peft_config", None) or {}
    if not configs:
        return {}
    scalings = {
        name: {
            "scaling": getattr(module, "scaling", None),
            "active": module.active_adapters,
            "disabled": module.disable_adapters,
            "merged": module.merged_adapters,
        }
        for name, module in model.named_modules()
        if hasattr(module, "merged_adapters")
    }
    state = canonical_hash(json.loads(json.dumps(scalings, default=str)))
    named = {name: _adapter_identity(config.to_dict()) for name, config in configs.items()}
    return {"configs": named, "state": state}


def _code_elsewhere(source: ModelSource) -> dict[str, str]:
    """Return the commits of other Hub models whose code a config names (``repo--file.Class``)."""
    text = source.text(CONFIG) if source.folder else None
    if not text or '"auto_map"' not in text:
        return {}
    values = (json.loads(text).get("auto_map") or {}).values()
    references = [v for value in values for v in ([value] if isinstance(value, str) else value)]
    repos = {v.split("--")[0] for v in references if isinstance(v, str) and "--" in v}
    return {repo: _hub_commit(ModelSource(repo, repo)) for repo in sorted(repos)}


def _hub_commit(source: ModelSource) -> str:
    """Return the commit of a Hub model as it lies in the cache.

    Raises:
        UsageError: it cannot be told, so nothing could be stored under a name of its own.
    """
    from transformers.utils.hub import extract_commit_hash

    name = ADAPTER_CONFIG if source.adapter is not None else CONFIG
    path = hub_file(source.location, name, source.revision)
    commit = extract_commit_hash(str(path), None) if path else None
    if not commit:
        raise UsageError(f"Model '{source.name}': the Hub does not say which commit it is.")
    return str(commit)


def _tensor_bytes(tensor: Any) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().view(-1)
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else memoryview(b"")
