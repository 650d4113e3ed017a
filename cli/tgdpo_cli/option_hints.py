"""What an option that a command does not have is called here; recipe keys follow ``--set``."""

from collections.abc import Sequence

_OPTIONS = {
    "model.name_or_path": "--model",
    "reference.name_or_path": "--reference",
    "data.path": "--dataset",
    "data.eval_path": "--eval-dataset",
    "loss.beta": "--beta",
    "output_dir": "--output-dir",
    "shaping.args": "--shaping-arg",
    "reward": "--reward-plugin",
    "reward.0.transforms": "--reward-transform",
}
"""Recipe key -> the option that stands for it."""


def hint(option: str, options: Sequence[str]) -> str | None:
    """Return what an unknown option of a command that takes ``--set`` is called, or None.

    Args:
        option: as it was typed, without a value.
        options: those that the command has.
    """
    from tgdpo_core.recipe.hints import place_of

    place = place_of(option.lstrip("-"))
    if place is None:
        return None
    key, _, remark = place.partition(" (")
    short = _OPTIONS.get(key) or _OPTIONS.get(key.partition(":")[0])
    if key == "shaping.args.alpha" and "--shaping-arg" in options:
        return "It is --shaping-arg alpha=VALUE."
    if short in options:
        return f"It is {short}."
    return f"It is a key of the recipe: --set {key}=VALUE{f' ({remark}' if remark else ''}."
