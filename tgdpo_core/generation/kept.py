"""Answers that are kept: in the store under what decides them, or in memory."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from tgdpo_core.generation.answers import Answer
from tgdpo_core.generation.engine import Drawn, Engine, Request
from tgdpo_core.generation.sampling import Sampling
from tgdpo_core.store.collection import Collection

KIND = "answers"


class Kept(Protocol):
    """Where answers are looked for and put."""

    def lacking(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the names of answers that are not there, in their order."""

    def work(self, names: Sequence[bytes], together: int) -> Iterator[list[bytes]]:
        """Yield what is lacking, some names at a time."""

    def add(self, name: bytes, drawn: Drawn) -> None:
        """Keep an answer."""

    def __getitem__(self, name: bytes) -> Drawn:
        """Return an answer."""

    def close(self) -> None:
        """Have the disk keep what was added."""


class InMemory:
    """Answers of this call alone."""

    def __init__(self) -> None:
        self._drawn: dict[bytes, Drawn] = {}

    def lacking(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the names of answers that are not there, in their order."""
        return [name for name in names if name not in self._drawn]

    def work(self, names: Sequence[bytes], together: int) -> Iterator[list[bytes]]:
        """Yield some names at a time."""
        for start in range(0, len(names), together):
            yield list(names[start : start + together])

    def add(self, name: bytes, drawn: Drawn) -> None:
        """Keep an answer."""
        self._drawn[name] = drawn

    def __getitem__(self, name: bytes) -> Drawn:
        """Return an answer."""
        return self._drawn[name]

    def close(self) -> None:
        """Do nothing."""


class KeptAnswers:
    """The answers of an engine in the store, under everything that decides them.

    Several processes may work at the same: each looks, before every batch, at what the others have
    added.

    Args:
        root: folder of the store.
        engine: whose answers.
        sampling: how they are drawn.

    Raises:
        StoreError: the store cannot be read or written.
    """

    def __init__(self, root: Path, engine: Engine, sampling: Sampling) -> None:
        decides = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_new_tokens": sampling.max_new_tokens,
        }
        self._collection = Collection(
            root, {"kind": KIND, **engine.document(), "sampling": decides}
        )

    def lacking(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the names of answers that are not there, in their order; damaged ones are none."""
        if not names:
            return []
        are_stored = self._collection.verified(list(names), None)
        return [name for name, is_stored in zip(names, are_stored, strict=True) if not is_stored]

    def work(self, names: Sequence[bytes], together: int) -> Iterator[list[bytes]]:
        """Yield what is lacking, some names at a time."""
        left = self.lacking(names)
        others_work = False
        while left:
            parts = -(-len(left) // together)
            # Beside another process anywhere: in the same order both would draw the same.
            start = together * (random.SystemRandom().randrange(parts) if others_work else 0)
            yield left[start : start + together]
            left = left[:start] + left[start + together :]
            if self._collection.refresh():
                others_work = True
                left = self.lacking(left)

    def add(self, name: bytes, drawn: Drawn) -> None:
        """Keep an answer.

        Raises:
            StoreError: the disk is full or not writable.
        """
        self._collection.add([name], [_as_values(drawn)])

    def __getitem__(self, name: bytes) -> Drawn:
        """Return an answer.

        Raises:
            StoreError: it is damaged or cannot be read.
        """
        return _from_values(self._collection[name])

    def close(self) -> None:
        """Have the disk keep what was added."""
        self._collection.close()


def entry_name(request: Request) -> bytes:
    """Return 16 bytes that name an answer by its prompt, as it is sent, and its seed."""
    text = json.dumps([request.prompt, request.seed], sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _as_values(drawn: Drawn) -> torch.Tensor:
    """Return an answer as the store holds things, float32: the bytes of its JSON, four a value."""
    document = {**asdict(drawn.answer), "ids": drawn.ids}
    text = json.dumps(document, separators=(",", ":")).encode()
    padded = bytearray(text.ljust(-(-len(text) // 4) * 4))
    return torch.from_numpy(np.frombuffer(padded, "<f4"))


def _from_values(values: torch.Tensor) -> Drawn:
    """Return what ``_as_values`` made values of."""
    document: dict[str, Any] = json.loads(values.numpy().tobytes())
    ids = document.pop("ids")
    return Drawn(Answer(**document), None if ids is None else tuple(ids))
