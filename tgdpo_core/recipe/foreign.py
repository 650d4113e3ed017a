"""Tells what kind of file was given where a recipe is expected."""

from collections.abc import Mapping
from typing import Any

_OURS = "requires model reference data reward shaping loss engine judging"
_MARKS = {
    "accelerate": "compute_environment distributed_type",
    "llama-factory": "stage finetuning_type cutoff_len template pref_beta pref_loss lora_rank "
    "tgdpo_alpha tgdpo_reward_model dataset_dir preprocessing_num_workers",
    "axolotl": "base_model sequence_len",
    "trl": "model_name_or_path dataset_name loss_type use_peft precompute_ref_log_probs",
}


def is_ablation(content: Mapping[str, Any]) -> bool:
    """Return whether a file holds a grid of runs."""
    return "variants" in content


def program_of(content: Mapping[str, Any]) -> str | None:
    """Return the program that a file is for: trl, llama-factory, accelerate or axolotl.

    None: it has a section of ours, or no key tells.
    """
    if any(isinstance(content.get(key), Mapping | list) for key in _OURS.split()):
        return None
    found = (program for program, keys in _MARKS.items() if set(keys.split()) & set(content))
    return next(found, None)


def what_it_is_instead(content: Mapping[str, Any], source: str) -> str | None:
    """Return a sentence for a file that is no recipe of one run, with the command that takes it."""
    if is_ablation(content):
        return (
            f"{source} is an ablation, a grid of runs: tgdpo ablate --config {source}. A single "
            "run takes what stands in its section `recipe`."
        )
    program = program_of(content)
    if program == "accelerate":
        return f"{source} is a configuration of accelerate: give it as --accelerate-config."
    if program == "axolotl":
        return (
            f"{source} is a configuration of axolotl, which is not converted: start from `tgdpo "
            "recipes copy starter FILE`."
        )
    if program is None:
        return None
    name = {"trl": "TRL", "llama-factory": "LLaMA-Factory"}[program]
    return (
        f"{source} is a configuration of {name}. Make a recipe of it with: tgdpo convert {source} "
        "--output recipe.yaml"
    )
