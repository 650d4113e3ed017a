"""What is asked of a frozen model or of a reward plugin, for a batch of rows."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tgdpo_core.data.pairs import SIDES, TokenizedPair
from tgdpo_core.data.token_table import Array, TokenTable
from tgdpo_core.engine.distribution import Asked
from tgdpo_core.engine.policy import engine_of
from tgdpo_core.engine.quantities import Over
from tgdpo_core.engine.rows import PairIds, device_of
from tgdpo_core.models.precision import Precision
from tgdpo_core.plugin_api.rewards import Example
from tgdpo_core.scoring.calls import Way, way_of
from tgdpo_core.scoring.checks import checked_rewards, kept
from tgdpo_core.scoring.filling import Compute
from tgdpo_core.scoring.guard import call_on_batch
from tgdpo_core.scoring.plugin_errors import PluginOutOfMemoryError
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.scoring.weights import split_sides


def reference_logps(model: Any, table: TokenTable, precision: Precision) -> Compute:
    """Return a function that gives log-probs of the response tokens under a frozen model."""
    engine = engine_of(model)
    was_training = model.training
    model.eval()

    def compute(rows: Sequence[int]) -> Sequence[torch.Tensor]:
        pairs = [table[row] for row in rows]
        row = engine.row([pair_ids(pair) for pair in pairs]).to(device_of(model))
        model.eval()
        with precision.active(row.input_ids.device):
            flat = engine(row).float().cpu()
        model.train(was_training)
        return flat.split([pair.num_response_tokens for pair in pairs])

    return compute


def reference_quantity(
    over: Over | None, model: Any, table: TokenTable, precision: Precision
) -> Compute:
    """Return a function that gives a quantity of a frozen model's distribution, [n * k] flat.

    Args:
        over: the quantity, ``policy_entropy`` or ``policy_top:K``; None: the hidden states.
        model: the reference.
        table: the pairs.
        precision: its number formats.
    """
    engine = engine_of(model)
    was_training = model.training

    @torch.no_grad()
    def compute(rows: Sequence[int]) -> Sequence[torch.Tensor]:
        pairs = [table[row] for row in rows]
        row = engine.row([pair_ids(pair) for pair in pairs]).to(device_of(model))
        model.eval()
        with precision.active(row.input_ids.device):
            if over is None:
                flat = engine.hidden(row)
            else:
                _, values = engine.distribution(row, Asked([over]))
                parts = [v if v.dim() == 2 else v[:, None] for v in values.values()]
                flat = torch.cat([part.float() for part in parts], 1)
        model.train(was_training)
        split = flat.float().cpu().split([pair.num_response_tokens for pair in pairs])
        return [values.flatten() for values in split]

    return compute


def ask(
    source: RewardSource,
    pairs: Sequence[TokenizedPair],
    shared: Mapping[str, Sequence[torch.Tensor]],
    *,
    once: bool = False,
) -> Sequence[torch.Tensor]:
    """Return what a reward plugin says of pairs, checked: [n] float32 each, chosen tokens first.

    If memory does not suffice for all pairs, it is asked about fewer at a time.

    Args:
        source: the plugin, set up.
        pairs: what is scored.
        shared: values that the plugin needs, by their name in ``Example.shared``: [n] per pair.
        once: ask about no pair again, whatever happens: the plugin learns from what it is asked.
    """
    try:
        return _ask(source, pairs, shared)
    except PluginOutOfMemoryError:
        if len(pairs) == 1 or once:
            raise
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    half = len(pairs) // 2
    parts = slice(None, half), slice(half, None)
    return [
        values
        for part in parts
        for values in ask(source, pairs[part], {name: v[part] for name, v in shared.items()})
    ]


def _ask(
    source: RewardSource,
    pairs: Sequence[TokenizedPair],
    shared: Mapping[str, Sequence[torch.Tensor]],
) -> Sequence[torch.Tensor]:
    examples, where = [], []
    for i, pair in enumerate(pairs):
        examples += examples_of(source, pair, {name: v[i] for name, v in shared.items()})
        where += [pair.pair.where] * len(SIDES)
    way = way_of(source.reward)
    size = 0 if way.overlaps else way.per_call
    checked = [
        values
        for part, places in _parts(examples, where, size)
        for values in _asked(source, way, part, places)
    ]
    return [torch.cat(checked[i : i + 2]) for i in range(0, len(checked), 2)]


def examples_of(
    source: RewardSource, pair: TokenizedPair, shared: Mapping[str, torch.Tensor]
) -> list[Example]:
    """Return both responses of a pair as a source sees them.

    Args:
        source: says which columns it reads.
        pair: the pair.
        shared: values of its response tokens, [n] each, by their name in ``Example.shared``.
    """
    columns = source.columns_of(pair.pair)
    # Copies: what a plugin does to them must not reach the stored values.
    sides = {name: split_sides(values.clone(), pair) for name, values in shared.items()}
    return [
        pair.example(
            side, columns=columns, shared={name: values[k] for name, values in sides.items()}
        )
        for k, side in enumerate(SIDES)
    ]


def _parts(
    examples: Sequence[Example], where: Sequence[str], size: int
) -> Iterator[tuple[Sequence[Example], Sequence[str]]]:
    for start in range(0, len(examples), size or len(examples) or 1):
        part = slice(start, start + size if size else None)
        yield examples[part], where[part]


def _asked(
    source: RewardSource, way: Way, examples: Sequence[Example], where: Sequence[str]
) -> list[torch.Tensor]:
    """Return the checked results of one call.

    Libraries for retries draw their pauses from the global random state, so calls that wait for a
    network may move it; it is put back in any case.
    """
    before = kept(examples)
    results = call_on_batch(
        str(source), _span(where), way.all_at_once, examples, draws=way.is_async
    )
    return checked_rewards(str(source), results, before, where)


def reward_entries(source: RewardSource, table: TokenTable) -> Array:
    """Return the store's names of each pair's rewards, [P, 16] uint8.

    Each is the hash of everything of the pair that the plugin may read.
    """
    names = np.empty((len(table), 16), np.uint8)
    columns = b"{}"
    for row in range(len(table)):
        if source.columns:
            pair = table[row]
            values = source.columns_of(pair.pair)
            columns = json.dumps(values, sort_keys=True, default=str).encode(
                "utf-8", "surrogatepass"
            )
        digest = hashlib.blake2b(table.ids_hashes[row].tobytes(), digest_size=16)
        digest.update(table.text_hashes[row].tobytes())
        digest.update(columns)
        names[row] = np.frombuffer(digest.digest(), np.uint8)
    return names


def pair_ids(pair: TokenizedPair) -> PairIds:
    """Return the engine's form of a pair."""
    return PairIds(pair.prompt_ids, pair.chosen.ids, pair.rejected.ids)


def _span(where: Sequence[str]) -> str:
    return where[0] if where[0] == where[-1] else f"{where[0]} ... {where[-1]}"
