"""What a run is: everything that decides its numbers, as one flat document to compare."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tgdpo_core.data.pairs import data_fingerprint
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.models.fingerprints import loaded_model_fingerprint, tokenizer_fingerprint
from tgdpo_core.models.loading import Policy
from tgdpo_core.plugin_api.losses import Loss
from tgdpo_core.plugin_api.shapings import Shaping
from tgdpo_core.scoring.loss_choice import describe
from tgdpo_core.scoring.passes import reward_entries
from tgdpo_core.scoring.scorer import Scorer
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.store.folder import canonical_hash
from tgdpo_core.training.config import TGDPOConfig

FILE = "identity.json"
_PACKAGES = ("tgdpo", "torch", "transformers", "accelerate", "peft")
# Settings that change what is written, shown or waited for, and no number. All others count.
_FREE_NAMES = """
    output_dir overwrite on_bad_row store_path max_streamed_rows logging_strategy logging_steps
    logging_first_step log_on_each_node log_level log_level_replica logging_dir
    logging_nan_inf_filter disable_tqdm report_to run_name project trackio_space_id
    trackio_bucket_id trackio_static_space_id skip_memory_metrics save_strategy save_steps
    save_on_each_node save_total_limit save_safetensors save_only_model eval_strategy eval_steps
    eval_delay eval_on_start per_device_eval_batch_size do_train do_eval do_predict debug
    use_cpu local_rank ddp_backend ddp_timeout ddp_find_unused_parameters dataloader_num_workers
    dataloader_pin_memory
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context
    dataloader_in_order push_to_hub hub_model_id hub_strategy hub_token hub_private_repo
    hub_always_push hub_revision restore_callback_states_from_checkpoint resume_from_checkpoint
    enable_jit_checkpoint write_report
"""
_FREE = frozenset(_FREE_NAMES.split())


class Difference(NamedTuple):
    """A value that two documents do not share; None where a document has none."""

    key: str
    old: Any
    new: Any


def run_identity(
    args: TGDPOConfig,
    scorer: Scorer,
    policy: Policy,
    *,
    pairs: tuple[TokenTable, Mapping[str, TokenTable]],
    shaping: tuple[str, Shaping],
) -> dict[str, Any]:
    """Return the document of a run, dotted keys to JSON values.

    Args:
        args: its settings.
        scorer: knows reference, tokenizer, reward sources and number formats.
        policy: the model before training.
        pairs: of training, and of evaluation by the name of their set.
        shaping: with its name.
    """
    train, evaluation = pairs
    settings = json.loads(args.to_json_string())
    tokenizer = scorer.tokenizer
    document = {
        "model": dict(policy.identity or loaded_model_fingerprint(policy.model)),
        "reference": dict(scorer.reference.identity),
        "architecture": _architecture(policy.model),
        "lora": _adapter(policy.model),
        "precision": {
            **scorer.settings.precision.document(),
            "policy": str(policy.model.dtype),
        },
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "chat_template": canonical_hash({"template": tokenizer.chat_template}),
        "data": _data(train),
        "evaluation_data": {name: _data(table) for name, table in evaluation.items()},
        "reward": {str(i): _source(each, train) for i, each in enumerate(scorer.sources)},
        "shaping": {"name": shaping[0], "options": shaping[1].options()},
        **_loss(scorer.loss, args),
        "world_size": args.world_size,
        "device": args.device.type,
        "versions": _versions(),
        **{name: value for name, value in settings.items() if name not in _FREE},
    }
    return flat(json.loads(json.dumps(document, default=str)))


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as dotted keys to values."""
    result: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, list) and value:
            value = {str(i): item for i, item in enumerate(value)}
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two flat documents, by key."""
    return [
        Difference(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def table(found: Sequence[Difference], header: tuple[str, str, str]) -> str:
    """Return differences as lines of text."""
    rows = [header, *((d.key, _short(d.old), _short(d.new)) for d in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


def _architecture(policy: Any) -> dict[str, Any]:
    config = policy.config.get_text_config()
    names = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers")
    return {name: getattr(config, name, None) for name in names}


def _adapter(policy: Any) -> dict[str, Any] | None:
    """Return the settings of the adapters, if the policy has any."""
    found = {}
    for name, config in (getattr(policy, "peft_config", None) or {}).items():
        values = config.to_dict()
        modules = values["target_modules"]
        modules = sorted(modules) if isinstance(modules, set | list) else modules
        found[name] = {"r": values["r"], "alpha": values["lora_alpha"], "modules": modules}
    return found or None


def _data(table: TokenTable) -> dict[str, Any]:
    hashes = table.ids_hashes
    return {
        "num_pairs": len(table),
        "content": data_fingerprint(hashes[np.lexsort(hashes.T)]),
        "order": data_fingerprint(hashes),
    }


def with_keys(identity: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return an identity with the store's keys, which name the models that sources use."""
    named = {name.replace("token_reward:", "reward.key."): key for name, key in keys.items()}
    if "reference_logps" in named:
        named["reference.key"] = named.pop("reference_logps")
    return {**identity, **named}


def _source(source: RewardSource, table: TokenTable) -> dict[str, Any]:
    """Return what a source is and, where it reads columns, a hash of what they hold."""
    described = {k: v for k, v in source.describe().items() if k != "origin"}
    if source.columns:
        described["columns"] = data_fingerprint(reward_entries(source, table))
    return described


def _loss(loss: tuple[str, Loss] | None, args: TGDPOConfig) -> dict[str, Any]:
    """Return what the settings do not say of a loss: one made in Python, or a third party's."""
    if loss is None or type(loss[1]).__module__.startswith("tgdpo_plugins."):
        return {} if loss is None or loss[0] == args.loss_type else {"loss": describe(loss)}
    return {"loss": describe(loss)}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
