"""Packages that only some settings need: looked for before any work, imported by nobody here."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tgdpo_core.errors import UsageError, did_you_mean


class Needed(NamedTuple):
    """A package that a setting needs: one of these modules, from this ``pip install``."""

    modules: tuple[str, ...]
    install: str


TRACKERS = {
    "azure_ml": Needed(("azureml",), "azureml-core"),
    "clearml": Needed(("clearml",), "clearml"),
    "codecarbon": Needed(("codecarbon",), "codecarbon"),
    "comet_ml": Needed(("comet_ml",), "comet-ml"),
    "dagshub": Needed(("dagshub",), "dagshub mlflow"),
    "dvclive": Needed(("dvclive",), "dvclive"),
    "flyte": Needed(("flytekit",), "flytekit"),
    "kubeflow": Needed(("kubeflow",), "kubeflow"),
    "mlflow": Needed(("mlflow",), "'tgdpo[mlflow]'"),
    "neptune": Needed(("neptune",), "neptune"),
    "swanlab": Needed(("swanlab",), "swanlab"),
    "tensorboard": Needed(("tensorboard", "tensorboardX"), "'tgdpo[tensorboard]'"),
    "trackio": Needed(("trackio",), "'tgdpo[trackio]'"),
    "wandb": Needed(("wandb",), "'tgdpo[wandb]'"),
}
"""The trackers of transformers by the names that ``training.report_to`` takes."""

_BITSANDBYTES = Needed(("bitsandbytes",), "bitsandbytes")
_TORCHAO = Needed(("torchao",), "'tgdpo[gpu]'")
_QUANTISER = Needed(("bitsandbytes",), "'tgdpo[qlora]'")
_OPTIMIZERS = {
    "adamw_bnb": _BITSANDBYTES,
    "adamw_8bit": _BITSANDBYTES,
    "ademamix": _BITSANDBYTES,
    "lion_": _BITSANDBYTES,
    "paged_": _BITSANDBYTES,
    "rmsprop_bnb": _BITSANDBYTES,
    "galore_": Needed(("galore_torch",), "galore-torch"),
    "apollo_": Needed(("apollo_torch",), "apollo-torch"),
    "grokadamw": Needed(("grokadamw",), "grokadamw"),
    "schedule_free_": Needed(("schedulefree",), "schedulefree"),
    "stable_adamw": Needed(("optimi",), "torch-optimi"),
    "adamw_torch_4bit": _TORCHAO,
    "adamw_torch_8bit": _TORCHAO,
    "adamw_anyprecision": Needed(("torchdistx",), "torchdistx"),
}  # by the beginning of the name

PEFT = Needed(("peft",), "'tgdpo[lora]'")
_LIGER = Needed(("liger_kernel",), "liger-kernel")


def require_packages(
    training: Mapping[str, Any], *, lora: bool = False, four_bits: bool = False
) -> None:
    """Raise ``UsageError`` for a package that settings need and that is not installed.

    Args:
        training: names and values of ``transformers.TrainingArguments``.
        lora: whether the policy gets an adapter.
        four_bits: whether frozen weights are held in 4 bits.
    """
    for setting, needed in _needed(training):
        require_package(setting, needed)
    if lora:
        require_package("model.lora", PEFT)
    if four_bits:
        require_package("model.load_in_4bit", _QUANTISER)


def require_package(setting: str, needed: Needed) -> None:
    """Raise ``UsageError`` with the ``pip install`` unless one of the modules can be found."""
    if not any(_is_installed(module) for module in needed.modules):
        raise UsageError(
            f"{setting} needs the package {needed.modules[0]}, which is not installed: "
            f"pip install {needed.install}"
        )


def _needed(training: Mapping[str, Any]) -> Iterator[tuple[str, Needed]]:
    for tracker in named_trackers(training.get("report_to")):
        yield f"training.report_to={tracker}", TRACKERS[tracker]
    optimizer = str(getattr(training.get("optim"), "value", training.get("optim") or ""))
    for beginning, needed in _OPTIMIZERS.items():
        if optimizer.startswith(beginning):
            yield f"training.optim={optimizer}", needed
    if training.get("use_liger_kernel"):
        yield "training.use_liger_kernel", _LIGER


def named_trackers(report_to: Any) -> Sequence[str]:
    """Return the trackers that ``report_to`` names; ``UsageError`` for one that does not exist."""
    if report_to is not None and not isinstance(report_to, str | list | tuple):
        raise UsageError(f"training.report_to must be names of trackers, got {report_to!r}.")
    given = [report_to] if isinstance(report_to, str) else list(report_to or ())
    named = [str(name) for name in given if name not in ("none", "all")]
    for name in named:
        if name not in TRACKERS:
            raise UsageError(
                f"training.report_to: unknown tracker '{name}'. "
                f"{did_you_mean(name, [*TRACKERS, 'none', 'all'])}"
            )
    return named


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package that is broken
        return False
