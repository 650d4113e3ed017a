"""Rows: several pairs laid out for one forward pass, and where their response tokens sit in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from tgdpo_core.engine.layout import Layout
from tgdpo_core.engine.tensors import moved

Ids = Sequence[int] | np.ndarray[Any, Any]


class PairIds(NamedTuple):
    """Token ids of one pair; a response may be empty."""

    prompt: Ids
    chosen: Ids
    rejected: Ids

    @property
    def shared_length(self) -> int:
        """Positions of the pair in a row that holds the prompt once."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)

    @property
    def longest_sequence(self) -> int:
        """Positions of prompt and longer response."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class PackedRow:
    """Pairs ready for the model; everything after it is a flat vector over N response tokens.

    The tokens of pair 0's chosen response come first, then those of its rejected one, then pair 1.
    Either sequences are padded to equal length (B = 2P, a mask, no layout), or all pairs lie in one
    sequence that holds every prompt once (B = 1, positions and a layout, no mask).

    Attributes:
        input_ids: [B, T] int64.
        attention_mask: [B, T] int64, 1 on real tokens; None with a layout.
        position_ids: [B, T] int64; None with a mask (the model counts by itself).
        layout: who sees whom; None with a mask.
        source: [N] int64, index into the B*T positions of the hidden state that predicts a token.
        targets: [N] int64, the response tokens.
        pair_ids: [N] int64 in [0, P).
        is_chosen: [N] bool.
        num_pairs: P.
        num_tokens: tokens in the row, padding not counted.
        num_separate: tokens of all prompts and responses, a prompt counted for each response.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    position_ids: torch.Tensor | None
    layout: Layout | None
    source: torch.Tensor
    targets: torch.Tensor
    pair_ids: torch.Tensor
    is_chosen: torch.Tensor
    num_pairs: int
    num_tokens: int
    num_separate: int

    def inputs(self) -> dict[str, Any]:
        """Return the keyword arguments of the model's forward, but for a layout's attention."""
        if self.layout is None:
            return {
                "input_ids": self.input_ids,
                "attention_mask": self.attention_mask,
                "use_cache": False,
            }
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "use_cache": False,
        }

    def to(self, device: Any) -> "PackedRow":
        """Return the row with its tensors, and those of its layout, on a device."""
        return moved(self, device)


def share_pairs(pairs: Sequence[PairIds], *, multiple: int = 1) -> PackedRow:
    """Return a row of one sequence that holds every prompt once: prompt, chosen, rejected, ...

    T is the sum of the pairs' ``shared_length``, rounded up to a multiple of ``multiple`` by a tail
    that sees only itself and that nothing reads: it changes no log-prob and no gradient.
    """
    ids: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    source: list[torch.Tensor] = []
    start = 0
    for pair in pairs:
        prompt, chosen, rejected = (len(part) for part in pair)
        ids += [torch.as_tensor(part, dtype=torch.int64) for part in pair]
        positions += [torch.arange(prompt + chosen), torch.arange(prompt, prompt + rejected)]
        # The hidden state at position t predicts the token at t + 1; the last one of the prompt
        # predicts the first token of both responses.
        last = start + prompt - 1
        middle = last + 1 + chosen
        source.append(torch.arange(last, last + chosen))
        if rejected:
            source += [torch.tensor([last]), torch.arange(middle, middle + rejected - 1)]
        start = middle + rejected
    tail = -start % multiple
    ids.append(torch.zeros(tail, dtype=torch.int64))
    positions.append(torch.zeros(tail, dtype=torch.int64))
    lengths = [(len(pair.prompt), len(pair.chosen), len(pair.rejected)) for pair in pairs]
    return PackedRow(
        input_ids=torch.cat(ids)[None],
        attention_mask=None,
        position_ids=torch.cat(positions)[None],
        layout=Layout(lengths, tail),
        source=torch.cat(source),
        **_flat_indices(pairs),
        num_tokens=start,
        num_separate=_num_separate(pairs),
    )


def pad_pairs(pairs: Sequence[PairIds], *, pad_token_id: int = 0) -> PackedRow:
    """Return a row of 2P sequences (prompt + response each), padded on the right.

    The pad token's id is never looked at: the mask hides it and no response token reads it.
    """
    sequences = [
        (pair.prompt, response)
        for pair in pairs
        for response in (pair.chosen, pair.rejected)
        if len(response)
    ]
    longest = max(len(prompt) + len(response) for prompt, response in sequences)
    input_ids = torch.full((len(sequences), longest), pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(input_ids)
    source = []
    for b, (prompt, response) in enumerate(sequences):
        length = len(prompt) + len(response)
        input_ids[b, : len(prompt)] = torch.as_tensor(prompt, dtype=torch.int64)
        input_ids[b, len(prompt) : length] = torch.as_tensor(response, dtype=torch.int64)
        mask[b, :length] = 1
        first = b * longest + len(prompt) - 1
        source.append(torch.arange(first, first + len(response)))
    return PackedRow(
        input_ids=input_ids,
        attention_mask=mask,
        position_ids=None,
        layout=None,
        source=torch.cat(source),
        **_flat_indices(pairs),
        num_tokens=int(mask.sum()),
        num_separate=_num_separate(pairs),
    )


def _flat_indices(pairs: Sequence[PairIds]) -> dict[str, Any]:
    """Return what does not depend on the layout: targets, whose they are, and how many pairs."""
    responses = [
        (torch.as_tensor(response, dtype=torch.int64), index, chosen)
        for index, pair in enumerate(pairs)
        for response, chosen in ((pair.chosen, True), (pair.rejected, False))
    ]
    return {
        "targets": torch.cat([ids for ids, *_ in responses]),
        "pair_ids": torch.cat([torch.full((len(ids),), index) for ids, index, _ in responses]),
        "is_chosen": torch.cat([torch.full((len(ids),), chosen) for ids, _, chosen in responses]),
        "num_pairs": len(pairs),
    }


def _num_separate(pairs: Sequence[PairIds]) -> int:
    return sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs)


def plan_rows(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Return which items share a row, first-fit-decreasing: indices, rows of at most ``budget``.

    An item larger than the budget gets a row of its own. The first row with enough room is found in
    a tree of the room that is left, so a million items take seconds.
    """
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    rows = [[index] for index in order if sizes[index] > budget]
    rest = order[len(rows) :]
    # Two rows in a row always hold more than one budget together, else the second had not begun.
    room = _Room(min(len(rest), 2 * sum(sizes[i] for i in rest) // max(budget, 1) + 2), budget)
    shared: list[list[int]] = []
    for index in rest:
        row = room.take(sizes[index])
        if row == len(shared):
            shared.append([])
        shared[row].append(index)
    return rows + shared


class _Room:
    """The room left in each of ``number`` rows, and the largest of it over every half of them."""

    def __init__(self, number: int, budget: int) -> None:
        self._width = 1 << max(number - 1, 0).bit_length()
        self._largest = [budget] * (2 * self._width)

    def take(self, size: int) -> int:
        """Return the first row with room for an item, the item put in."""
        largest, width = self._largest, self._width
        node = 1
        while node < width:
            node *= 2
            if largest[node] < size:
                node += 1
        row = node - width
        largest[node] -= size
        while node > 1:
            node //= 2
            left, right = largest[2 * node], largest[2 * node + 1]
            most = left if left > right else right
            if largest[node] == most:
                break
            largest[node] = most
        return row


def plan_padded_rows(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return which pairs are padded together: runs of similar length, at most ``budget`` tokens.

    Args:
        lengths: longest sequence of each pair; its padded row holds two of them.
        budget: tokens of a row, padding counted; a pair larger than it gets a row of its own.
    """
    rows: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[rows[-1][0]] if rows else 0
        if rows and 2 * longest * (len(rows[-1]) + 1) <= budget:
            rows[-1].append(index)
        else:
            rows.append([index])
    return rows


def device_of(model: Any) -> torch.device:
    """Return where a model's rows go; one that is spread begins on its first accelerator."""
    spread = getattr(model, "hf_device_map", None)
    if not spread:
        device: torch.device = model.device
        return device
    accelerators = [place for place in spread.values() if str(place) not in ("cpu", "disk")]
    return torch.device(accelerators[0] if accelerators else "cpu")
