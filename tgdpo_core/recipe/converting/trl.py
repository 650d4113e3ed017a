"""A configuration of ``trl dpo --config FILE`` (TRL 1.16) as a recipe."""

from collections.abc import Mapping
from typing import Any

from tgdpo_core.recipe.converting.account import Conversion, Rule, only, rules, to, unused

_MEMORY = unused("saves memory or time, changes no number")
_OTHER_LOSS = "tgdpo has no such loss"


def trl_rules() -> dict[str, Rule]:
    """Return the rule of every key that is TRL's own."""
    return {
        "model_name_or_path": to("model.name_or_path"),
        "model_revision": to("model.revision"),
        **rules(to("model.dtype", _dtype), "dtype torch_dtype"),
        "attn_implementation": to("model.attn_implementation", lambda name: name or "auto"),
        "trust_remote_code": _trust,
        "model_init_kwargs": only((None, {}), "write its keys into `model:` by hand"),
        "dataset_name": _dataset_name,
        "dataset_config": to("data.name"),
        "dataset_train_split": to("data.split"),
        "dataset_test_split": _test_split,
        "datasets": _mixture,
        "test_split_size": only((None,), "a random split: name the rows, data.split train[10%:]"),
        **rules(only((False,), "rows are read whole"), "dataset_streaming streaming"),
        "beta": to("loss.beta"),
        "loss_type": _loss_type,
        "loss_weights": _loss_weights,
        "label_smoothing": _label_smoothing,
        "max_length": to("data.max_length"),
        "truncation_mode": only(("keep_start",), "long responses lose their end here"),
        "ld_alpha": only((None, 1, 1.0), _OTHER_LOSS),
        "f_divergence_type": only(("reverse_kl",), _OTHER_LOSS),
        "f_alpha_divergence_coef": unused("belongs to alpha_divergence"),
        "discopop_tau": unused("belongs to discopop"),
        "use_weighting": only((False,), _OTHER_LOSS),
        "sync_ref_model": only((False,), "the reference stays as it is"),
        **rules(unused("belongs to sync_ref_model"), "ref_model_mixup_alpha ref_model_sync_steps"),
        "disable_dropout": only((True,), "log-ratios compare two fixed functions: no dropout"),
        "router_aux_loss_coef": only((None, 0, 0.0), "there is no router loss here"),
        **rules(unused("reference log-probs are always computed once and stored"), _PRECOMPUTE),
        **rules(unused("rows are always packed; the numbers are the same"), "padding_free"),
        **rules(_MEMORY, "pad_to_multiple_of activation_offloading dataset_num_proc pad_token"),
        "ignore_bias_buffers": _MEMORY,
        "use_peft": _use_peft,
        **rules(_of_lora, "lora_r lora_alpha lora_target_modules lora_dropout use_rslora use_dora"),
        **rules(_of_lora, "lora_modules_to_save lora_target_parameters lora_task_type"),
        "load_in_8bit": only((False,), "weights of 8 bits are not held here"),
        "load_in_4bit": to("model.load_in_4bit"),
        "bnb_4bit_quant_type": only(("nf4",), "4 bits are NF4 here"),
        "use_bnb_nested_quant": only((False,), "scales of 4-bit weights are not quantized here"),
        "bnb_4bit_quant_storage": _MEMORY,
        "accelerate_config": unused("of the command line: tgdpo train --accelerate-config"),
        "env": unused("set these variables in the shell"),
    }


_PRECOMPUTE = "precompute_ref_log_probs precompute_ref_batch_size"


def trl_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of TRL that are not ours."""
    defaults: dict[str, Any] = {
        "max_length": 1024,
        "dtype": "float32",
        "gradient_checkpointing": True,
        "save_total_limit": None,
    }
    if "torch_dtype" in given:
        del defaults["dtype"]
    if not given.get("fp16"):
        defaults["bf16"] = True
    if given.get("use_peft"):
        defaults |= {"lora_r": 16, "lora_alpha": 32, "lora_target_modules": None}
    return defaults


def _dtype(value: Any) -> Any:
    return "auto" if value is None else str(value).removeprefix("torch.")


def _trust(made: Conversion, key: str, value: Any) -> None:
    if not value:
        made.note(key, "asks for nothing")
        return
    made.put(key, "model.trust_remote_code", True, "tgdpo wants --trust-remote-code as well")


def _dataset_name(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("datasets"):
        made.note(key, "TRL reads `datasets` and ignores it")
        return
    made.put(key, "data.path", value)
    _evaluation(made, value)


def _evaluation(made: Conversion, path: Any) -> None:
    """Evaluate on the test split, where there is evaluation at all."""
    if made.given.get("eval_strategy", "no") not in ("no", False):
        made.put("dataset_name", "data.eval_path", path)
        if "dataset_test_split" not in made.given:
            made.put("dataset_test_split", "data.eval_split", "test")


def _test_split(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("eval_strategy", "no") in ("no", False):
        made.note(key, "nothing is evaluated (eval_strategy)")
    else:
        made.put(key, "data.eval_split", value)


def _mixture(made: Conversion, key: str, value: Any) -> None:
    entries = value if isinstance(value, list) else [value]
    entry = entries[0] if entries and isinstance(entries[0], dict) else {}
    known = {"path", "name", "split", "data_files"}
    is_one = len(entries) == 1 and not {k for k, v in entry.items() if v is not None} - known
    files = entry.get("data_files")
    if not is_one or "path" not in entry or isinstance(files, dict):
        made.refuse(key, "only one data set of path, name, split and data_files is converted")
        return
    made.put(key, "data.path", files or entry["path"])
    for name, place in (("name", "data.name"), ("split", "data.split")):
        if entry.get(name):
            made.put(key, place, entry[name])


def _loss_type(made: Conversion, key: str, value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    if len(names) != 1 or names[0] not in ("sigmoid", "hinge", "ipo"):
        made.refuse(key, "of TRL's losses only sigmoid, hinge and ipo, one alone, are equal here")
        return
    made.put(key, "loss.name", names[0])


def _loss_weights(made: Conversion, key: str, value: Any) -> None:
    if value in (None, [1], [1.0]):
        made.note(key, "one loss")
    else:
        made.refuse(key, "a weighted loss is another learning rate; sums of losses are not here")


def _label_smoothing(made: Conversion, key: str, value: Any) -> None:
    made.note(key, "TRL reads it for robust and exo_pair alone; here it would act on sigmoid")


def _use_peft(made: Conversion, key: str, value: Any) -> None:
    if value:
        made.put(key, "model.lora", {})
    else:
        made.note(key, "all weights are trained")


def _of_lora(made: Conversion, key: str, value: Any) -> None:
    if not made.given.get("use_peft"):
        made.note(key, "belongs to use_peft")
        return
    _LORA[key](made, key, value)


def _target_modules(made: Conversion, key: str, value: Any) -> None:
    if value is None:
        made.refuse(
            key,
            "not set: peft would choose layers by the model's type (often q_proj and v_proj). Name "
            "them in FILE; `all-linear` is every linear layer",
        )
        return
    names = value if isinstance(value, list) else [value]
    made.put(key, "model.lora.target_modules", "auto" if names == ["all-linear"] else names)


_LORA: dict[str, Rule] = {
    "lora_r": to("model.lora.r"),
    "lora_alpha": to("model.lora.alpha"),
    "lora_target_modules": _target_modules,
    "lora_dropout": unused("TRL turns it off as all dropout (disable_dropout)"),
    "use_rslora": only((False,), "another scaling of the adapter"),
    "use_dora": only((False,), "another adapter"),
    "lora_modules_to_save": only((None, []), "trains whole layers beside the adapter"),
    "lora_target_parameters": only((None, []), "adapters on single parameters"),
    "lora_task_type": only(("CAUSAL_LM",), "another kind of model"),
}
