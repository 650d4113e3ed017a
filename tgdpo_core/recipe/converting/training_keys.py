"""Keys of ``transformers.TrainingArguments``, which both programs have."""

from typing import Any

from tgdpo_core.recipe.argument_table import REFUSED, SECRET, USED
from tgdpo_core.recipe.converting.account import Conversion, Rule, only, rules, to, unused
from tgdpo_core.recipe.training_arguments import training_argument_types


def training_rule(key: str) -> Rule | None:
    """Return the rule of a training argument; None for a key that is none."""
    if key in _OWN:
        return _OWN[key]
    if key in SECRET:
        return unused("never written to a file: set HF_TOKEN in the environment")
    if key in REFUSED:
        return only(REFUSED[key].harmless, REFUSED[key].reason)
    if key in USED and key in training_argument_types():
        return to(f"training.{key}")
    return None


def _warmup_ratio(made: Conversion, key: str, value: Any) -> None:
    if made.given.get("warmup_steps"):
        made.note(key, "warmup_steps is set and wins")
    else:
        made.put(key, "training.warmup_steps", value, "below 1: a share of all steps")


def _resume(made: Conversion, key: str, value: Any) -> None:
    made.note(key, "of the command line: tgdpo train --resume")


_OWN: dict[str, Rule] = {
    "output_dir": to("output_dir"),
    "warmup_ratio": _warmup_ratio,
    "evaluation_strategy": to("training.eval_strategy"),
    "resume_from_checkpoint": _resume,
    "do_train": unused("tgdpo train trains"),
    "deepspeed": unused(
        "changes how weights are spread, not what is computed: tgdpo train --accelerate-config "
        "accelerate/fsdp2"
    ),
    **rules(unused("responses are laid out here by the program itself"), "remove_unused_columns"),
    **rules(unused("of the command line: tgdpo train --overwrite"), "overwrite_output_dir"),
    **rules(unused("always off here"), "logging_nan_inf_filter predict_with_generate"),
    **rules(unused("logs lie in the run folder"), "logging_dir"),
    **rules(unused("checkpoints are always safetensors"), "save_safetensors"),
}
