"""Adapters of peft: put on their base model, merged into it, made anew, and saved findable."""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.models.failures import one_line_errors
from tgdpo_core.models.fingerprints import fingerprint
from tgdpo_core.models.paths import ADAPTER_CONFIG, BASE_RECORD, RECORD_FORMAT, ModelSource

logger = logging.getLogger(__name__)

_BASE = "tgdpo_base"  # attribute of a policy: the source of the model under its adapter
_PROMPT_LEARNING = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")
_ALL = "all-linear"  # peft's name for all linear layers but the head
_SAFE, _PICKLED = "adapter_model.safetensors", "adapter_model.bin"


def put_on(base: Any, source: ModelSource, *, allow_pickle: bool, trainable: bool) -> Any:
    """Return a model with the adapter of a folder or a Hub id on it.

    Raises:
        UsageError: the adapter does not fit the model, is not all there, or is of a kind whose
            log-probs the engine cannot compute.
    """
    who = f"Adapter '{source.name}'"
    peft = _peft(who)
    if str((source.adapter or {}).get("peft_type")) in _PROMPT_LEARNING:
        raise _prompt_learning(who, str(source.adapter and source.adapter["peft_type"]))
    _require_weights(source, allow_pickle=allow_pickle)
    with one_line_errors(f"{who} on '{source.root.name}'"), warnings.catch_warnings():
        # What is missing is refused below, by name.
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        model = peft.PeftModel.from_pretrained(
            base,
            str(source.location),
            revision=source.revision,
            is_trainable=trainable,
        )
    _require_every_tensor(model, source)
    return model


def merged(model: Any) -> Any:
    """Return the base model with its adapter added to the weights."""
    return model.merge_and_unload(safe_merge=True)


def with_lora(model: Any, settings: Mapping[str, Any]) -> Any:
    """Return the model with a fresh LoRA adapter; only the adapter is trained.

    The adapter's update is zero at first, so the policy before training is the base model.

    Args:
        model: a causal language model without an adapter.
        settings: ``r``, ``alpha``, ``target_modules``.

    Raises:
        UsageError: peft is not installed, or the model has an adapter, which peft would replace.
    """
    peft = _peft("model.lora")
    if getattr(model, "peft_config", None):
        raise UsageError(
            "The model has an adapter, which a fresh one would replace. Merge it first "
            "(model.merge_and_unload()), or train it as it is, without model.lora."
        )
    config = peft.LoraConfig(
        r=settings["r"],
        lora_alpha=settings["alpha"],
        target_modules=_ALL if settings["target_modules"] == "auto" else settings["target_modules"],
        task_type="CAUSAL_LM",
    )
    with one_line_errors("model.lora"), _quiet_peft():
        return peft.get_peft_model(model, config)


def with_adapter_of(model: Any, source: ModelSource) -> Any:
    """Return the model with an adapter of the settings that a source names, its weights not loaded.

    Raises:
        UsageError: peft is not installed, or does not know such an adapter.
    """
    peft = _peft(f"Adapter '{source.name}'")
    with one_line_errors(f"Adapter '{source.name}'"):
        config = peft.PeftConfig.from_pretrained(str(source.location), revision=source.revision)
        with _quiet_peft():
            return peft.get_peft_model(model, config)


def require_supported(model: Any, who: str) -> None:
    """Raise ``UsageError`` for adapters that act outside the model's layers (prompt tuning)."""
    for config in (getattr(model, "peft_config", None) or {}).values():
        if config.is_prompt_learning:
            raise _prompt_learning(who, config.peft_type.value)


def _prompt_learning(who: str, kind: str) -> UsageError:
    return UsageError(
        f"{who}: {kind} puts trained tokens before the prompt, which is not supported. Use LoRA or "
        "another adapter of the layers."
    )


def note_base(model: Any, base: ModelSource | None) -> Any:
    """Return the model, with a note of what lies under its adapter for when it is saved."""
    if base is not None:
        setattr(model, _BASE, base)
    return model


def record_base(model: Any, folder: Path) -> None:
    """Write beside a saved adapter where its base model is and what it holds.

    The path is absolute, so that the adapter can be used from any working directory; the record
    also keeps it relative to the adapter, for folders that are moved together. Nothing is written
    for a model that is no adapter, or whose base is not known (made in Python).
    """
    path, base = folder / ADAPTER_CONFIG, vars(model).get(_BASE)
    if base is None or not path.is_file():
        return
    where = str(base.folder.resolve()) if base.folder else str(base.location)
    record: dict[str, Any] = {"format": RECORD_FORMAT, "name_or_path": where}
    record |= {"revision": base.revision, "fingerprint": fingerprint(base)}
    if base.folder:
        record["from_adapter"] = os.path.relpath(where, folder.resolve())
    elif "commit" in record["fingerprint"]:
        record["revision"] = record["fingerprint"]["commit"]
    (folder / BASE_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": where, "revision": record["revision"]}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require_weights(source: ModelSource, *, allow_pickle: bool) -> None:
    if source.file(_SAFE):
        return
    if not source.file(_PICKLED):
        raise UsageError(f"Adapter '{source.name}' holds no weights: {_SAFE} is missing.")
    if not allow_pickle:
        raise UsageError(
            f"Adapter '{source.name}' holds its weights as a pickle ({_PICKLED}). Convert it to "
            "safetensors, or set model.allow_pickle=true if you trust it."
        )


def _require_every_tensor(model: Any, source: ModelSource) -> None:
    """Raise ``UsageError`` if the file and the adapter on the model differ in their tensors."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    path = source.file(_SAFE)
    if path is None:
        return
    with safe_open(path, framework="pt") as file:
        stored = set(file.keys())
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if missing := wanted - stored:
        raise UsageError(
            f"Adapter '{source.name}' lacks {min(missing)} ({len(missing)} tensors), which would "
            f"be random: it was not trained on a model like '{source.root.name}'."
        )
    if surplus := {name for name in stored - wanted if "embed" not in name}:
        raise UsageError(
            f"Adapter '{source.name}' holds {min(surplus)} ({len(surplus)} tensors), for which "
            f"'{source.root.name}' has no place: it was trained on another model."
        )


@contextlib.contextmanager
def _quiet_peft() -> Iterator[None]:
    """Keep back what transformers says of a name that peft still uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _peft(who: str) -> Any:
    try:
        import peft
    except ImportError as error:
        raise UsageError(f"{who} needs peft: pip install 'tgdpo[lora]'.") from error
    return peft
