"""The content-addressed store of per-token values.

    STORE/KEY/key.json                the document whose hash is KEY
    STORE/KEY/HASH.safetensors        a shard: values [N] float32, bounds [E + 1], entries [E, 16]

KEY names everything that changes the values (model weights, dtype, plugin and options, ...) but
the token ids; each entry within is named by the hash of its own ids and inputs. Shards are only
ever added, each by a rename, so a killed process loses one shard and several processes may write
at once. Values are memory-mapped when read.
"""

import hashlib
import itertools
import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tgdpo_core.errors import StoreError
from tgdpo_core.scoring.fingerprints import canonical_hash

logger = logging.getLogger(__name__)

FORMAT = 1
_TENSORS = ("values", "bounds", "entries")


def default_store_path() -> Path:
    """Return ``$TGDPO_STORE``, else ``tgdpo/store`` in the user's cache folder."""
    if named := os.environ.get("TGDPO_STORE"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tgdpo" / "store"


class Collection:
    """The stored values under one key.

    Args:
        root: folder of the store.
        document: JSON of everything that changes the values.

    Raises:
        StoreError: the folder cannot be made or read.
    """

    def __init__(self, root: Path, document: Mapping[str, Any]) -> None:
        full = {"format": FORMAT, **document}
        self.key = canonical_hash(full)
        self._folder = root / self.key
        self._index: dict[bytes, torch.Tensor] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (self._folder / "key.json").exists():
                _write(self._folder / "key.json", json.dumps(full, indent=1, sort_keys=True))
        except OSError as error:
            raise StoreError(
                f"The store at {root} cannot be written: {error}. "
                "Name another folder with TGDPO_STORE=DIR."
            ) from error
        self.refresh()

    def __contains__(self, entry: bytes) -> bool:
        """Whether the values of an entry are stored."""
        return entry in self._index

    def __getitem__(self, entry: bytes) -> torch.Tensor:
        """Return an entry's values, [n] float32, memory-mapped."""
        return self._index[entry]

    def refresh(self) -> None:
        """Read the shards that other processes have added; drop those that are damaged."""
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                self._index |= _read_shard(path)
            except (SafetensorError, OSError, KeyError, ValueError) as error:
                logger.warning("%s is damaged (%s); its values are computed again.", path, error)
                path.unlink(missing_ok=True)

    def add(self, entries: Sequence[bytes], values: Sequence[torch.Tensor]) -> None:
        """Write one shard: the values ([n] float32 each) of several entries.

        Raises:
            StoreError: the disk is full or not writable; what was stored before is kept.
        """
        flat = torch.cat([v.detach().to("cpu", torch.float32) for v in values])
        bounds = torch.tensor([0, *(len(v) for v in values)]).cumsum(0)
        names = torch.frombuffer(bytearray(b"".join(entries)), dtype=torch.uint8).view(-1, 16)
        tensors = {"values": flat, "bounds": bounds, "entries": names.contiguous()}
        name = hashlib.blake2b(b"".join(sorted(entries)), digest_size=12).hexdigest()
        path = self._folder / f"{name}.safetensors"
        staged = path.with_suffix(f".{uuid.uuid4().hex}.part")
        try:
            save_file(tensors, staged, metadata={"checksum": _checksum(tensors)})
            staged.chmod(0o644)  # save_file leaves 0600: a group could not share the store
            staged.replace(path)
        except (OSError, SafetensorError) as error:
            staged.unlink(missing_ok=True)
            raise StoreError(
                f"{path} cannot be written: {error}. Finished shards are kept."
            ) from error
        self._index |= _read_shard(path)


def _read_shard(path: Path) -> dict[bytes, torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        # Views of the mapped file, not copies.
        tensors = {name: file.get_tensor(name) for name in _TENSORS}
        checksum = (file.metadata() or {}).get("checksum")
    if checksum != _checksum(tensors):
        raise ValueError("its checksum does not match")
    values, names = tensors["values"], tensors["entries"].numpy()
    slices = itertools.pairwise(tensors["bounds"].tolist())
    return {bytes(n): values[a:b] for n, (a, b) in zip(names, slices, strict=True)}


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = xxhash.xxh3_64()
    for name in _TENSORS:
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    staged = path.with_suffix(f".{os.getpid()}.part")
    staged.write_text(text)
    staged.replace(path)
