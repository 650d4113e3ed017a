"""A configuration of LLaMA-Factory, or of the official TGDPO code (a fork of it), as a recipe."""

from collections.abc import Mapping
from typing import Any

from tgdpo_core.recipe.converting.account import (
    Conversion,
    Rule,
    choice,
    only,
    rules,
    to,
    unused,
)
from tgdpo_core.recipe.converting.dataset_info import DataFolder
from tgdpo_core.recipe.converting.llama_factory_data import data_rules

_NO = (False, None)
_ATTENTION = {
    "auto": "auto",
    "disabled": "eager",
    "sdpa": "sdpa",
    "fa2": "flash_attention_2",
    "fa3": "flash_attention_3",
}


def llama_factory_rules(data: DataFolder) -> dict[str, Rule]:
    """Return the rule of every key that is LLaMA-Factory's own."""
    return {**_method(), **_lora(), **_model(), **_beside(), **data_rules(data)}


def llama_factory_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of LLaMA-Factory that are not ours."""
    defaults: dict[str, Any] = {
        "finetuning_type": "lora",
        "cutoff_len": 2048,
        "learning_rate": 5e-5,
        "logging_steps": 500,
        "save_total_limit": None,
        "disable_gradient_checkpointing": False,
    }
    if not given.get("fp16") and not given.get("pure_bf16"):
        defaults["bf16"] = False
    if given.get("finetuning_type", "lora") == "lora":
        rank = given.get("lora_rank", 8)
        alpha = 2 * rank if isinstance(rank, int) else 16
        defaults |= {"lora_rank": 8, "lora_target": "all", "lora_alpha": alpha}
    if given.get("stage") == "tgdpo":
        defaults["tgdpo_alpha"] = 0.5
    return defaults


def _method() -> dict[str, Rule]:
    no_tgdpo = unused("the official code never reads it")
    return {
        "stage": _stage,
        "ref_model": to("reference.name_or_path"),
        **rules(only((None,), "a reference of this sort is not made here"), _REFERENCE),
        "tgdpo_reward_model": _reward_model,
        "tgdpo_alpha": _alpha,
        "pref_beta": to("loss.beta"),
        "pref_loss": _loss,
        "pref_ftx": _ftx,
        "simpo_gamma": to("loss.simpo_gamma"),
        "dpo_label_smoothing": lambda made, key, value: (
            no_tgdpo if made.given.get("stage") == "tgdpo" else to("loss.label_smoothing")
        )(made, key, value),
        "pref_bco_weight": only((0, 0.0), "tgdpo has no such loss"),
        "ld_alpha": only((None, 1, 1.0), "tgdpo has no such loss"),
        "compute_accuracy": unused("rewards/accuracies are always logged"),
        "disable_shuffling": choice(
            "training.train_sampling_strategy", {False: "random", True: "sequential"}, "true, false"
        ),
        "early_stopping_steps": only((None,), "runs are not stopped early here"),
        "plot_loss": unused("a run's report has its curves"),
    }


_REFERENCE = "ref_model_adapters ref_model_quantization_bit"


def _lora() -> dict[str, Rule]:
    table = {
        "lora_rank": to("model.lora.r"),
        "lora_alpha": to("model.lora.alpha"),
        "lora_target": to("model.lora.target_modules", _targets),
        "lora_dropout": only((0, 0.0), "log-ratios compare two fixed functions: no dropout"),
        "additional_target": only((None,), "trains whole layers beside the adapter"),
        "loraplus_lr_ratio": only((None,), "two learning rates"),
        "use_rslora": only(_NO, "another scaling of the adapter"),
        "use_dora": only(_NO, "another adapter"),
        "pissa_init": only(_NO, "another start of the adapter"),
    }
    return {
        "finetuning_type": _finetuning,
        **{key: _if_lora(rule) for key, rule in table.items()},
        **rules(unused("without effect by itself"), "loraplus_lr_embedding pissa_iter"),
        **rules(only(_NO, "another start of the adapter"), "pissa_convert"),
        "create_new_adapter": unused("the adapter that is trained is always a new one"),
        "adapter_name_or_path": _adapter,
    }


def _model() -> dict[str, Rule]:
    memory = unused("saves memory or time, changes no number")
    no_training = unused("nothing of training")
    return {
        "model_name_or_path": _model_name,
        "model_revision": to("model.revision"),
        "trust_remote_code": _trust,
        "flash_attn": choice("model.attn_implementation", _ATTENTION, "unknown attention"),
        "disable_gradient_checkpointing": to("training.gradient_checkpointing", lambda v: not v),
        "enable_liger_kernel": to("training.use_liger_kernel"),
        "pure_bf16": _pure_bf16,
        "quantization_bit": _four_bits,
        "quantization_type": only(("nf4",), "4 bits are NF4 here"),
        "double_quantization": _double,
        "quantization_method": only(("bnb", "bitsandbytes"), "4 bits are those of bitsandbytes"),
        **rules(memory, "use_unsloth_gc use_reentrant_gc low_cpu_mem_usage use_fast_tokenizer"),
        **rules(memory, "use_unsloth quantization_device_map use_v1_kernels offload_folder"),
        "cache_dir": unused("set HF_HOME in the environment"),
        **rules(only(_NO, "changes the tokenizer or the vocabulary"), _TOKENS),
        "init_special_tokens": unused("no token is added"),
        **rules(only(_NO, "changes the model"), "rope_scaling shift_attn mixture_of_depths"),
        **rules(only(_NO, "changes the model"), "train_from_scratch upcast_layernorm"),
        **rules(only(_NO, "changes rounding"), "upcast_lmhead_output fp8"),
        "moe_aux_loss_coef": only((None, 0, 0.0), "there is no router loss here"),
        **rules(no_training, "infer_backend infer_dtype use_kv_cache print_param_status"),
        **rules(unused("never written to a file: set HF_TOKEN"), _SECRETS),
    }


_TOKENS = (
    "resize_vocab add_tokens add_special_tokens new_special_tokens_config split_special_tokens "
    "freeze_original_embeddings"
)
_SECRETS = "hf_hub_token ms_hub_token om_hub_token"


def _beside() -> dict[str, Rule]:
    """Return the rules of what belongs to other methods, machines and trackers."""
    other = only(_NO, "another optimizer or method: training.optim has those of transformers")
    return {
        **rules(other, "use_galore use_apollo use_badam use_adam_mini use_muon use_llama_pro"),
        **rules(other, "use_dft_loss use_asft_loss use_eaft_loss use_mca use_megatron_bridge"),
        **rules(other, "use_hyper_parallel"),
        "num_mtp_layers": only((0,), "no further heads are trained here"),
        **rules(unused("of another stage"), "kto_chosen_weight kto_rejected_weight reward_model"),
        **rules(unused("of another stage"), "ppo_epochs ppo_buffer_size ppo_score_norm ppo_target"),
        **rules(unused("of another stage"), "freeze_trainable_layers freeze_trainable_modules"),
        **rules(unused("of images"), "freeze_vision_tower freeze_multi_modal_projector"),
        **rules(unused("of images"), "image_max_pixels image_min_pixels media_dir"),
        "freeze_language_model": only(_NO, "the language model is what is trained"),
        "use_swanlab": unused("trackers are named by training.report_to"),
        **rules(unused("of SwanLab"), "swanlab_project swanlab_run_name swanlab_mode"),
        **rules(unused("of machines: tgdpo train --num-processes"), "ray_num_workers master_addr"),
        **rules(unused("measures only"), "include_effective_tokens_per_second"),
    }


def _stage(made: Conversion, key: str, value: Any) -> None:
    if value not in ("dpo", "tgdpo"):
        made.refuse(key, "only dpo and tgdpo (the official code) train on pairs as here")
    elif value == "dpo":
        made.put(key, "reward", [{"plugin": "none"}], "plain DPO")
    else:
        made.put(key, "shaping.name", "linear", "f_w = 1 + alpha r, f_l = 1 - alpha r")
        if not made.given.get("tgdpo_reward_model"):
            made.refuse("tgdpo_reward_model", "stage tgdpo needs it")
        if made.given.get("pref_loss", "sigmoid") != "sigmoid":
            made.refuse("pref_loss", "with stage tgdpo the official code takes sigmoid alone")


def _reward_model(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("stage") != "tgdpo":
        made.note(key, "belongs to stage tgdpo")
        return
    entry = {"plugin": "induced", "args": {"model": value}}
    made.put(key, "reward", [entry], "its beta is the loss's, as in the official code")


def _alpha(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("stage") == "tgdpo":
        made.put(key, "shaping.args", {"alpha": value})
    else:
        made.note(key, "belongs to stage tgdpo")


def _loss(made: Conversion, key: str, value: Any) -> None:
    if value in ("sigmoid", "hinge", "ipo", "simpo"):
        made.put(key, "loss.name", value)
    else:
        made.refuse(key, "tgdpo has no such loss; equal are sigmoid, hinge, ipo and simpo")


def _ftx(made: Conversion, key: str, value: Any) -> None:
    if value and made.given.get("stage") == "tgdpo":
        made.refuse(key, "with stage tgdpo the official code fails")
    else:
        made.put(key, "loss.sft_weight", value)


def _finetuning(made: Conversion, key: str, value: Any) -> None:
    if value == "full":
        made.note(key, "all weights are trained: model.lora stays unset")
    elif value == "lora":
        made.put(key, "model.lora", {})
    else:
        made.refuse(key, "only full and lora are trained here")


def _if_lora(rule: Rule) -> Rule:
    def wrapped(made: Conversion, key: str, value: Any) -> None:
        if made.given.get("finetuning_type", "lora") == "lora":
            rule(made, key, value)
        else:
            made.note(key, "belongs to finetuning_type lora")

    return wrapped


def _targets(value: Any) -> Any:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    return "auto" if names == ["all"] else names


def _adapter(made: Conversion, key: str, value: Any) -> None:
    is_one = isinstance(value, str) and "," not in value
    if value is None:
        made.note(key, "asks for nothing")
    elif is_one and made.given.get("create_new_adapter"):
        made.put(key, "model.name_or_path", value, "merged into its base; a new adapter is trained")
    else:
        made.refuse(key, "an adapter is not trained further: merge it, or create_new_adapter: true")


def _model_name(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("adapter_name_or_path") and made.given.get("create_new_adapter"):
        made.note(key, "the base model of adapter_name_or_path, which names it itself")
    else:
        made.put(key, "model.name_or_path", value)


def _trust(made: Conversion, key: str, value: Any) -> None:
    if not value:
        made.note(key, "asks for nothing")
        return
    made.put(key, "model.trust_remote_code", True, "tgdpo wants --trust-remote-code as well")


def _pure_bf16(made: Conversion, key: str, value: Any) -> None:
    if value:
        made.put(key, "model.dtype", "bfloat16")
    else:
        made.note(key, "asks for nothing")


def _four_bits(made: Conversion, key: str, value: Any) -> None:
    if value is None:
        made.note(key, "asks for nothing")
    elif value != 4:
        made.refuse(key, "of quantized weights only those of 4 bits are held here")
    else:
        made.put(key, "model.load_in_4bit", True)
        if made.given.get("double_quantization", True):
            made.refuse("double_quantization", "on by default; scales are not quantized here")


def _double(made: Conversion, key: str, value: Any) -> None:
    if not value or made.given.get("quantization_bit") is None:
        made.note(key, "asks for nothing")
