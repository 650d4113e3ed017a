"""Which positions of a shared row see which others.

A row is ``prompt, chosen, rejected, prompt, chosen, rejected, ...``. A response sees its prompt and
itself; rejected does not see chosen; pairs do not see each other. Positions of a rejected response
continue after its prompt, so that every token has the position it would have alone. A row may end
in a tail that makes its length a round number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from tgdpo_core.engine.tensors import moved

BLOCK = 128  # tokens; masks of FlexAttention say which blocks see which

Span = tuple[int, int]  # first and one-past-last index in the row


@dataclass(frozen=True)
class Segment:
    """A run of queries and the keys it sees.

    Attributes:
        queries: the positions that ask.
        keys: spans of positions, joined in this order; the queries are the last of them, and a
            query sees the keys up to itself (causal, aligned at the lower right).
    """

    queries: Span
    keys: tuple[Span, ...]

    @property
    def num_queries(self) -> int:
        """How many positions ask."""
        return self.queries[1] - self.queries[0]

    @property
    def num_keys(self) -> int:
        """How many positions are seen by the last of them."""
        return sum(end - start for start, end in self.keys)


@dataclass(frozen=True)
class Layout:
    """The segments of a row; together their queries are the row, in order.

    Attributes:
        lengths: (prompt, chosen, rejected) of each pair.
        tail: positions after the last pair that belong to none and that nothing reads.
        plan: its form for variable-length kernels, where one was made ahead.
        token_places: its form for masks that are functions, where one was made ahead.
    """

    lengths: Sequence[tuple[int, int, int]]
    tail: int = 0
    plan: "VarlenPlan | None" = None
    token_places: "TokenPlaces | None" = None
    _made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def segments(self) -> list[Segment]:
        """What each run of queries sees."""
        segments, start = [], 0
        for prompt, chosen, rejected in self.lengths:
            segments += pair_segments(start, prompt, chosen, rejected)
            start += prompt + chosen + rejected
        if self.tail:
            segments += pair_segments(start, self.tail, 0, 0)
        return segments

    @cached_property
    def query_sizes(self) -> list[int]:
        """Lengths to split the queries by."""
        return [segment.num_queries for segment in self.segments]

    @cached_property
    def key_pieces(self) -> tuple[list[int], list[list[int]]]:
        """Lengths to split the keys by, and for each segment which of the pieces it joins."""
        edges = {edge for s in self.segments for span in (s.queries, *s.keys) for edge in span}
        cuts = sorted(edges | {0})
        index = {cut: i for i, cut in enumerate(cuts)}
        members = [
            [i for start, end in s.keys for i in range(index[start], index[end])]
            for s in self.segments
        ]
        return [end - start for start, end in pairwise(cuts)], members

    def with_varlen(self) -> "Layout":
        """Return the layout with its form for variable-length kernels, which moves with a row."""
        return self if self.plan else replace(self, plan=self._varlen())

    def with_places(self) -> "Layout":
        """Return the layout with its form token by token, which moves with a row."""
        return self if self.token_places else replace(self, token_places=self._places())

    def varlen(self, device: torch.device) -> "VarlenPlan":
        """Return the layout in the form of variable-length attention kernels."""
        return moved(self.plan or self._varlen(), device)

    def places(self, device: torch.device) -> "TokenPlaces":
        """Return the layout token by token, the form of kernels that take a mask as a function."""
        return moved(self.token_places or self._places(), device)

    def mask(self, index: int, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return [queries, keys] bool, what a segment's queries see; None where it is causal.

        Args:
            index: of the segment.
            window: number of last keys that a query sees; None is all.
            device: where the mask is needed.
        """
        segment = self.segments[index]
        queries, keys = segment.num_queries, segment.num_keys
        if window is not None and window >= keys:
            window = None
        if queries == keys and window is None:
            return None
        key = ("mask", index, window, device)
        return self._once(key, lambda: lower_right(queries, keys, window, device))

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Every layer asks for the same tensors; they are made for the first."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _varlen(self) -> "VarlenPlan":
        spans = [np.arange(*span) for segment in self.segments for span in segment.keys]
        return VarlenPlan(
            key_index=torch.from_numpy(np.concatenate(spans)),
            cu_queries=_cumulative([s.num_queries for s in self.segments]),
            cu_keys=_cumulative([s.num_keys for s in self.segments]),
            max_queries=max(s.num_queries for s in self.segments),
            max_keys=max(s.num_keys for s in self.segments),
        )

    def _places(self) -> "TokenPlaces":
        lengths = np.array([*self.lengths, (self.tail, 0, 0)])
        prompts = lengths[:, 0]
        starts = np.stack([np.zeros_like(prompts), prompts, prompts], 1).ravel()
        runs = zip(starts, lengths.ravel(), strict=True)
        position = np.concatenate([np.arange(start, start + length) for start, length in runs])
        numbers = {
            "pair": np.repeat(np.arange(len(lengths)), lengths.sum(1)),
            "branch": np.repeat(np.tile(np.arange(3), len(lengths)), lengths.ravel()),
            "position": position,
        }
        counts, members = _visible_blocks(lengths.sum(1))
        numbers |= {"block_counts": counts, "block_members": members}
        return TokenPlaces(**{k: torch.from_numpy(v) for k, v in numbers.items()})


@dataclass(frozen=True)
class VarlenPlan:
    """Index tensors of variable-length attention.

    Attributes:
        key_index: [K] int64, the keys of all segments, gathered (shared prompts twice).
        cu_queries: [S + 1] int32, where each segment's queries begin.
        cu_keys: [S + 1] int32, where each segment's gathered keys begin.
        max_queries: longest segment.
        max_keys: most keys of a segment.
    """

    key_index: torch.Tensor
    cu_queries: torch.Tensor
    cu_keys: torch.Tensor
    max_queries: int
    max_keys: int


@dataclass(frozen=True)
class TokenPlaces:
    """Where each token of a row belongs, [T] int64, and which blocks of 128 tokens see which.

    A token sees the tokens of its pair that are in the prompt or in its own branch, up to itself.

    Attributes:
        pair: number of its pair; the tail is one more.
        branch: 0 in the prompt, 1 in the chosen response, 2 in the rejected one.
        position: in its sequence, prompt first.
        block_counts: [B] int32, in how many blocks of keys a block of queries may see something.
        block_members: [B, B] int32, which; the first ``block_counts`` of a row count.
    """

    pair: torch.Tensor
    branch: torch.Tensor
    position: torch.Tensor
    block_counts: torch.Tensor
    block_members: torch.Tensor


def lower_right(
    num_queries: int, num_keys: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Return [queries, keys] bool: the queries are the last keys, each sees up to itself."""
    positions = torch.arange(num_keys, device=device)
    distance = positions[num_keys - num_queries :, None] - positions[None]
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def pair_segments(start: int, prompt: int, chosen: int, rejected: int) -> list[Segment]:
    """Return the segments of one pair that begins at ``start``, from its three lengths."""
    middle = start + prompt + chosen
    end = middle + rejected
    segments = [Segment((start, middle), ((start, middle),))]
    if rejected:
        segments.append(Segment((middle, end), ((start, start + prompt), (middle, end))))
    return segments


def _visible_blocks(sizes: Any) -> tuple[Any, Any]:
    """Return how many blocks of keys each block of queries may see, and which.

    Tokens see earlier ones of their own pair, so these are the blocks from the one in which the
    first pair of the queries begins to the queries' own.

    Args:
        sizes: [P] tokens of each pair.
    """
    ends = np.cumsum(sizes)
    firsts = np.arange(0, max(int(ends[-1]), 1), BLOCK)
    pairs = np.searchsorted(ends, firsts, side="right")
    begins = (ends - sizes)[np.minimum(pairs, len(sizes) - 1)] // BLOCK
    own = np.arange(len(firsts))
    counts = own - begins + 1
    members = (begins[:, None] + own[None]) % len(own)
    return counts.astype(np.int32), members.astype(np.int32)


def _cumulative(sizes: Sequence[int]) -> torch.Tensor:
    return torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32)
