"""The scoring pass: what the store lacks is computed, in batches of equal length, and stored."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from tgdpo_core.data.pairs import SIDES, TokenizedPair, response_uid
from tgdpo_core.engine.policy import engine_of
from tgdpo_core.engine.rows import PairIds
from tgdpo_core.errors import PluginError
from tgdpo_core.models.precision import Precision
from tgdpo_core.scoring.checks import checked_rewards
from tgdpo_core.scoring.guard import PluginOutOfMemoryError, call_on_batch
from tgdpo_core.scoring.sources import RewardSource, missing_column
from tgdpo_core.scoring.weights import StoredValues, split_sides
from tgdpo_core.store.collection import Collection

_TOKENS_PER_BATCH = 8192  # padded tokens of one forward pass

Compute = Callable[[Sequence[TokenizedPair]], Sequence[torch.Tensor]]
"""From pairs to one [n] float32 tensor each: the chosen response's values, then the rejected's."""


@dataclass(frozen=True)
class PassCounts:
    """Pairs whose values were computed, and pairs whose values were in the store."""

    computed: int
    reused: int


def fill(
    collection: Collection,
    pairs: Sequence[TokenizedPair],
    entries: Sequence[bytes],
    compute: Compute,
    *,
    label: str,
) -> PassCounts:
    """Compute and store what the collection lacks; several processes share the work.

    Args:
        collection: where values go.
        pairs: all pairs.
        entries: the store's name for each pair.
        compute: called on batches of pairs of similar length.
        label: what the progress bar says.
    """
    state = PartialState()
    lacking = _lacking(collection, pairs, entries)
    missing = {entries[i]: pairs[i] for i in lacking}
    todo = sorted(missing.items(), key=lambda item: -_padded_length(item[1]))
    mine = todo[state.process_index :: state.num_processes]
    try:
        with tqdm(total=len(mine), desc=label, unit="pair", disable=not mine) as bar:
            for batch in _batches(mine):
                rest = _not_yet_stored(collection, batch)
                if rest:
                    values = compute([pair for _, pair in rest])
                    collection.add([entry for entry, _ in rest], values)
                bar.update(len(batch))
    finally:
        collection.close()
    state.wait_for_everyone()
    collection.refresh()
    return PassCounts(computed=len(lacking), reused=len(pairs) - len(lacking))


def _lacking(
    collection: Collection, pairs: Sequence[TokenizedPair], entries: Sequence[bytes]
) -> list[int]:
    """Return the rows that the collection lacks, as the first process sees it.

    Each for itself would see what the others have written meanwhile, and the shares would not add
    up to the whole.
    """
    state = PartialState()
    seen: list[Any] = [None]
    if state.is_main_process:
        are_stored = collection.verified(entries, [pair.num_response_tokens for pair in pairs])
        seen = [[i for i, is_stored in enumerate(are_stored.tolist()) if not is_stored]]
    lacking: list[int] = broadcast_object_list(seen)[0]
    return lacking


def _not_yet_stored(
    collection: Collection, batch: Sequence[tuple[bytes, TokenizedPair]]
) -> Sequence[tuple[bytes, TokenizedPair]]:
    """Return what no other process has stored meanwhile: two commands may fill at once."""
    if not collection.refresh():
        return batch
    are_stored = collection.locate([entry for entry, _ in batch]).are_stored
    return [item for item, is_stored in zip(batch, are_stored, strict=True) if not is_stored]


def reference_logps(model: Any, precision: Precision) -> Compute:
    """Return a function that gives log-probs of the response tokens under a frozen model."""
    engine = engine_of(model)
    was_training = model.training
    model.eval()

    def compute(pairs: Sequence[TokenizedPair]) -> Sequence[torch.Tensor]:
        row = engine.row([pair_ids(pair) for pair in pairs]).to(model.device)
        model.eval()
        with precision.active(row.input_ids.device):
            flat = engine(row).float().cpu()
        model.train(was_training)
        return flat.split([pair.num_response_tokens for pair in pairs])

    return compute


def token_rewards(source: RewardSource, reference: StoredValues) -> Compute:
    """Return a function that asks a reward plugin, checks its answer and joins the two sides.

    Args:
        source: the plugin, set up before the first call.
        reference: a pair's stored reference log-probs, asked for if the plugin needs them.
    """

    is_first = True

    def compute(pairs: Sequence[TokenizedPair]) -> Sequence[torch.Tensor]:
        nonlocal is_first
        needed = {"reference_logps": [reference(pair) for pair in pairs]}
        shared = needed if source.needs_reference else {}
        values = ask(source, pairs, shared)
        if is_first:
            _require_same(source, pairs, values, ask(source, pairs, shared))
            is_first = False
        return values

    return compute


def _require_same(
    source: RewardSource,
    pairs: Sequence[TokenizedPair],
    once: Sequence[torch.Tensor],
    twice: Sequence[torch.Tensor],
) -> None:
    """Raise ``PluginError`` if the same question got another answer: what is stored would be luck.

    Sums on GPUs may differ in the last digits; noise differs by its own size.
    """
    for pair, a, b in zip(pairs, once, twice, strict=True):
        if len(a) and not torch.allclose(
            a, b, rtol=0, atol=1e-2 * float(a.abs().max().clamp(min=1e-6))
        ):
            t = int((a - b).abs().argmax())
            raise PluginError(
                f"{source}, {pair.pair.where}: asked twice, it gave {a[t]:.6g} and {b[t]:.6g} for "
                f"the same token ({t}). Values are stored and must be repeatable: seed noise with "
                "example.uid, switch dropout off. A reward that follows the policy is dynamic."
            )


def ask(
    source: RewardSource,
    pairs: Sequence[TokenizedPair],
    shared: Mapping[str, Sequence[torch.Tensor]],
) -> Sequence[torch.Tensor]:
    """Return what a reward plugin says of pairs, checked: [n] float32 each, chosen tokens first.

    If memory does not suffice for all pairs, it is asked about fewer at a time.

    Args:
        source: the plugin, set up.
        pairs: what is scored.
        shared: values that the plugin needs, by their name in ``Example.shared``: [n] per pair.
    """
    try:
        return _ask(source, pairs, shared)
    except PluginOutOfMemoryError:
        if len(pairs) == 1:
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
        columns = {name: _column(source, pair, name) for name in source.columns}
        # Copies: what a plugin does to them must not reach the stored values.
        sides = {name: split_sides(values[i].clone(), pair) for name, values in shared.items()}
        for k, side in enumerate(SIDES):
            of_side = {name: values[k] for name, values in sides.items()}
            examples.append(pair.example(side, columns=columns, shared=of_side))
            where.append(pair.pair.where)
    results = call_on_batch(str(source), _span(where), source.reward.score, examples, draws=False)
    checked = checked_rewards(str(source), results, examples, where)
    return [torch.cat(checked[i : i + 2]) for i in range(0, len(checked), 2)]


def reward_entry(source: RewardSource, pair: TokenizedPair) -> bytes:
    """Return the store's 16-byte name of a pair's rewards: everything of the pair that a plugin
    may read."""
    columns = {name: _column(source, pair, name) for name in source.columns}
    seen = [[response_uid(pair.pair, side), pair.response(side).text] for side in SIDES]
    text = json.dumps([seen, columns, pair.pair.tools], sort_keys=True, default=str)
    digest = hashlib.blake2b(pair.ids_hash(), digest_size=16)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def pair_ids(pair: TokenizedPair) -> PairIds:
    """Return the engine's form of a pair."""
    return PairIds(pair.prompt_ids, pair.chosen.ids, pair.rejected.ids)


def _column(source: RewardSource, pair: TokenizedPair, name: str) -> Any:
    columns = pair.pair.columns
    if name not in columns:
        raise missing_column(str(source), pair.pair, name)
    return columns[name]


def _padded_length(pair: TokenizedPair) -> int:
    return len(pair.prompt_ids) + max(len(pair.chosen.ids), len(pair.rejected.ids))


def _batches(
    todo: Sequence[tuple[bytes, TokenizedPair]],
) -> Iterator[Sequence[tuple[bytes, TokenizedPair]]]:
    """Yield runs of a list sorted by length, as many pairs as fit the padded budget."""
    start = 0
    while start < len(todo):
        longest = _padded_length(todo[start][1])
        size = max(1, _TOKENS_PER_BATCH // (2 * longest))
        yield todo[start : start + size]
        start += size


def _span(where: Sequence[str]) -> str:
    return where[0] if where[0] == where[-1] else f"{where[0]} ... {where[-1]}"
