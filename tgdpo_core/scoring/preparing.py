"""Rewards that are fitted to the training set: fitted once, kept in the store, read ever after."""

from collections.abc import Sequence
from pathlib import Path

import torch

from tgdpo_core.data.pairs import data_fingerprint
from tgdpo_core.data.token_table import TokenTable
from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.scoring.context import FrozenModels
from tgdpo_core.scoring.guard import call_plugin
from tgdpo_core.scoring.lazy_examples import LazyExamples
from tgdpo_core.scoring.passes import examples_of, reward_entries
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.store.located import Located

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npz")


def training_hash(source: RewardSource, table: TokenTable | None) -> str:
    """Return what names all that a source may read of the training set, in its order.

    Raises:
        PluginError: there is none to fit it to.
    """
    if table is None:
        raise PluginError(
            f"{source} is fitted to a training set (prepare), and there is none here. Use it with "
            "train, score or inspect."
        )
    return data_fingerprint(reward_entries(source, table))


def training_examples(
    source: RewardSource, table: TokenTable, reference: Located
) -> Sequence[Example]:
    """Return the responses of a training set as a source sees them, made when asked for."""

    def of_row(row: int) -> list[Example]:
        shared: dict[str, torch.Tensor] = {}
        if source.needs_reference:
            shared["reference_logps"] = reference[row]
        return examples_of(source, table[row], shared)

    return LazyExamples(table, of_row)


def prepare(
    source: RewardSource, context: FrozenModels, examples: Sequence[Example], folder: Path
) -> None:
    """Have a source fill a folder.

    Raises:
        PluginError: it failed, left nothing, or a file that runs code when it is read.
    """
    who = str(source)
    try:
        call_plugin(who, "the training set", source.reward.prepare, context, examples)
    finally:
        context.release()
    files = [path for path in folder.rglob("*") if path.is_file()]
    if not files:
        raise PluginError(
            f"{who}: prepare left no file in context.artifacts. What it learns must lie there: "
            "other processes and later runs have only that."
        )
    for path in files:
        if path.suffix in _PICKLES:
            raise PluginError(
                f"{who}: prepare left {path.name}. Files of the store are shared, and that format "
                "may run code when it is read: use safetensors, JSON or .npy."
            )
