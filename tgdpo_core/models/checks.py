"""What must hold of a model before it is used: whole, of the right kind, with the same tokens."""

import importlib.util
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgdpo_core.errors import UsageError
from tgdpo_core.models.fingerprints import vocabulary_fingerprint
from tgdpo_core.models.paths import CONFIG, ModelSource

logger = logging.getLogger(__name__)

_LANGUAGE_MODEL_HEADS = ("CausalLM", "ConditionalGeneration")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_PACKAGES = {"bitsandbytes": "bitsandbytes", "gptq": "gptqmodel", "awq": "gptqmodel"}
# Buffers that old checkpoints hold and that are computed from the config.
_COMPUTED = re.compile(r"(rotary_emb\.inv_freq|\.attn\.(masked_)?bias)$")


def require_language_model(source: ModelSource) -> None:
    """Raise ``UsageError`` for a model with another head.

    transformers would take the body and make a random head.
    """
    for name in _config(source).get("architectures") or ():
        head = re.search(r"For([A-Z]\w*)$", str(name))
        is_other = head is not None and head[1] not in _LANGUAGE_MODEL_HEADS
        if is_other or re.search(r"Reward|ValueHead", str(name)):
            raise UsageError(
                f"Model '{source.name}' is a {name}: its head is no language model's, and a new "
                "one would be random. Name a causal language model."
            )


def require_quantiser(source: ModelSource) -> None:
    """Raise ``UsageError`` for a model quantised in a way that is unknown or not installed.

    transformers would take weights of an unknown way as plain numbers.
    """
    settings = _config(source).get("quantization_config")
    if not settings:
        return
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    is_bitsandbytes = settings.get("load_in_4bit") or settings.get("load_in_8bit")
    method = str(settings.get("quant_method") or ("bitsandbytes" if is_bitsandbytes else ""))
    if method not in {*AUTO_QUANTIZATION_CONFIG_MAPPING, "bitsandbytes"}:
        raise UsageError(f"Model '{source.name}' is quantised in an unknown way: '{method}'.")
    package = _PACKAGES.get(method)
    if package and importlib.util.find_spec(package) is None:
        raise UsageError(
            f"Model '{source.name}' is quantised ({method}), which needs {package}: pip install "
            f"{package}."
        )


def _config(source: ModelSource) -> dict[str, Any]:
    text = source.text(CONFIG)
    if text is None:
        raise UsageError(f"Model '{source.name}' has no {CONFIG}.")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"Model '{source.name}': {CONFIG} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"Model '{source.name}': {CONFIG} must hold a JSON object.")
    return config


def require_readable_weights(folder: Path, *, allow_pickle: bool) -> None:
    """Raise ``UsageError`` for weights that are damaged, incomplete, or a pickle without leave."""
    from safetensors import SafetensorError, safe_open

    safe = sorted(folder.glob("*.safetensors"))
    for path in safe:
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except SafetensorError as error:
            raise UsageError(
                f"'{path}' is damaged: {error}. Get the file again, or remove the folder."
            ) from error
    for index in sorted(folder.glob("*.safetensors.index.json")):
        _require_shards(index)
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    if not safe and pickled and not allow_pickle:
        raise UsageError(
            f"'{folder}' holds its weights as a pickle ({pickled[0].name}), which can hold code. "
            "Convert it to safetensors, or set model.allow_pickle=true if you trust it."
        )


def _require_shards(index: Path) -> None:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"'{index}' is damaged: {error}") from error
    missing = sorted(str(name) for name in names if not (index.parent / str(name)).is_file())
    if missing:
        raise UsageError(
            f"'{index.parent}' lacks {missing[0]} ({len(missing)} of {len(names)} files)."
        )


@dataclass(frozen=True)
class Fit:
    """How far the tensors of a checkpoint may differ from those of a model.

    Attributes:
        may_lack: end of the names that a checkpoint may lack.
        unused: beginning of the names that this kind of model does not use.
        advice: what a user may do about a model of another kind.
    """

    may_lack: str = ""
    unused: str = ""
    advice: str = "name a causal language model"


def require_all_weights(report: Mapping[str, Any], who: str, fit: Fit) -> None:
    """Raise ``UsageError`` if tensors would be random, or if the model has no use for some.

    Args:
        report: loading info of transformers.
        who: how the message begins.
        fit: what may differ.
    """
    may_lack, unused = fit.may_lack, fit.unused
    missing = {key for key in report["missing_keys"] if not may_lack or not key.endswith(may_lack)}
    missing |= {item[0] for item in report["mismatched_keys"]}
    if missing:
        raise UsageError(
            f"{who} lacks {_listed(missing)}, which would be random: it is a model of another "
            f"kind or damaged; {fit.advice}."
        )
    surplus = {key for key in report["unexpected_keys"] if not unused or not key.startswith(unused)}
    surplus = {key for key in surplus if not _COMPUTED.search(key)}
    if surplus:
        raise UsageError(
            f"{who} holds {_listed(surplus)}, which would not be used: it is a model of another "
            f"kind; {fit.advice}."
        )


def _listed(keys: Iterable[str]) -> str:
    names = sorted(keys)
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''} ({len(names)} tensors)"


def require_trainable(model: Any) -> None:
    """Raise ``UsageError`` if no parameter of the policy gets gradients."""
    if any(parameter.requires_grad for parameter in model.parameters()):
        return
    hint = (
        "Load the adapter with PeftModel.from_pretrained(..., is_trainable=True)."
        if getattr(model, "peft_config", None)
        else "Set requires_grad on what is to be trained."
    )
    raise UsageError(f"The policy has no trainable parameter. {hint}")


def embedding_rows(model: Any) -> int:
    """Return how many token ids a model has vectors for, in its embedding and in its head."""
    found = [model.get_input_embeddings(), model.get_output_embeddings()]
    return min(int(module.weight.shape[0]) for module in found if module is not None)


def require_ids(
    model: Any, ids: Iterable[tuple[str, Iterable[int]]], tokenizer: Any, *, who: str
) -> None:
    """Raise ``UsageError`` for a token id that the model has no vector for.

    Args:
        model: the model.
        ids: where they are from, and token ids.
        tokenizer: names the token.
        who: how the message names the model.
    """
    rows = embedding_rows(model)
    for where, found in ids:
        highest = max(found, default=-1)
        if highest >= rows:
            token = tokenizer.convert_ids_to_tokens(int(highest))
            raise UsageError(
                f"{where}: token '{token}' has the id {highest}, but the embedding of {who} has "
                f"{rows} rows. Resize it before training (model.resize_token_embeddings(len("
                "tokenizer))), or use the tokenizer that belongs to the model."
            )


def has_tokenizer(source: ModelSource) -> bool:
    """Return whether tokenizer files lie beside a model."""
    if source.folder:
        return any((source.folder / name).is_file() for name in _TOKENIZER_FILES)
    return source.text("tokenizer_config.json") is not None


def missing_parts(source: ModelSource) -> list[str]:
    """Return what a model's folder lacks of ``weights`` and ``tokenizer``."""
    if not source.folder:
        return []
    lacks = []
    if not any(next(source.folder.glob(f"*.{end}"), None) for end in ("safetensors", "bin")):
        lacks.append("weights")
    if not any(has_tokenizer(each) for each in source.chain):
        lacks.append("tokenizer")
    return lacks


def require_same_tokens(
    own: Any, other: Any, *, who: str, whose: str = "the policy's", next_step: str = ""
) -> None:
    """Raise ``UsageError`` unless two tokenizers give the same strings the same ids."""
    if vocabulary_fingerprint(own) == vocabulary_fingerprint(other):
        return
    ours, theirs = own.get_vocab(), other.get_vocab()
    differing = sorted(ours.items() ^ theirs.items(), key=lambda item: (item[1], item[0]))
    token, index = differing[0]
    raise UsageError(
        f"The tokenizer of {who} ({len(other)} tokens) differs from {whose} ({len(own)} tokens), "
        f"for instance in '{token}' (id {index}), so its log-probs belong to other tokens. "
        f"{next_step}".rstrip()
    )


def require_same_rows(policy_rows: int, other_rows: int, *, who: str) -> None:
    """Raise ``UsageError`` unless a model without a tokenizer has as many tokens as the policy."""
    if policy_rows != other_rows:
        raise UsageError(
            f"{who} has {other_rows} token vectors, the policy {policy_rows}, and no tokenizer "
            "lies beside it to compare: save its tokenizer there, or use a model with the policy's "
            "tokens."
        )
    logger.warning(
        "%s has no tokenizer files: only the number of its token vectors (%d) was compared with "
        "the policy's.",
        who,
        other_rows,
    )
