"""C1, C2, C11: whatever happens to a store's files: what was stored comes back, or nothing does."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.fuzz.effort import cases, outcome
from tests.faults.fuzz.mutations import as_json, damaged, edited
from tgdpo_core.errors import TgdpoError
from tgdpo_core.store.catalogue import keys_of_runs, list_collections, verify
from tgdpo_core.store.collection import Collection

DOCUMENT = {"kind": "logps", "model": "abc", "plugin": {"name": "random"}}
NAMES = [hashlib.blake2b(bytes([i]), digest_size=16).digest() for i in range(6)]
VALUES = [torch.arange(float(3 + i)) + i for i in range(6)]
LENGTHS = [len(values) for values in VALUES]
RECORD = {"store": {"passes": {"reference": {"key": "ab"}, "token_reward:x": {"key": "cd"}}}}


@pytest.fixture(autouse=True)
def _said_in_silence() -> Iterator[None]:
    """That a shard is damaged is said; here it would be said a thousand times."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    collection = Collection(root, DOCUMENT)
    for name, values in zip(NAMES, VALUES, strict=True):
        collection.add([name], [values])
    collection.close()
    return root


@pytest.fixture(scope="module")
def copy(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies") / "store"


def renewed(whole: Path, copy: Path) -> Path:
    """Return a fresh copy of the store."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    return copy


@cases(0.2)
@given(data=st.data(), kind=st.sampled_from(["index", "values", "both"]))
def test_a_stored_value_is_the_one_that_was_stored_or_computed_again(
    data: st.DataObject, kind: str, whole: Path, copy: Path
) -> None:
    root = renewed(whole, copy)
    for suffix in ("index", "values") if kind == "both" else (kind,):
        (path,) = root.rglob(f"*.{suffix}")
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    collection = Collection(root, DOCUMENT)
    are_stored = collection.verified(NAMES, LENGTHS)
    for name, values, is_stored in zip(NAMES, VALUES, are_stored, strict=True):
        if is_stored:
            assert collection[name].tolist() == values.tolist()
    lacking = [i for i, is_stored in enumerate(are_stored) if not is_stored]
    collection.add([NAMES[i] for i in lacking], [VALUES[i] for i in lacking])
    collection.close()
    again = Collection(root, DOCUMENT)
    assert again.verified(NAMES, LENGTHS).all()
    assert [again[name].tolist() for name in NAMES] == [values.tolist() for values in VALUES]


@cases(0.5)
@given(
    bad=damaged(as_json(DOCUMENT)) | edited({"format": 2, **DOCUMENT}).map(as_json) | st.none(),
    index=st.booleans(),
    data=st.data(),
)
def test_a_damaged_store_is_listed_and_verified_without_a_traceback(
    bad: bytes | None, index: bool, data: st.DataObject, whole: Path, copy: Path
) -> None:
    root = renewed(whole, copy)
    (key,) = root.glob("*/key.json")
    if bad is None:
        key.unlink()
    else:
        key.write_bytes(bad)
    if index:
        (path,) = root.rglob("*.index")
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    found = outcome(lambda: list_collections(root))
    if isinstance(found, TgdpoError):
        return
    for info in found:
        json.dumps(info.as_dict())
        if info.is_readable:
            outcome(lambda info=info: verify(info, lambda _: None))  # type: ignore[misc]


@cases()
@given(bad=damaged(as_json(RECORD)) | edited(RECORD).map(as_json))
def test_keys_of_runs_are_all_there_or_the_record_is_refused(bad: bytes, copy: Path) -> None:
    """``store prune`` keeps what runs use: keys that were not read would be removed."""
    copy.mkdir(parents=True, exist_ok=True)
    (copy / "run.json").write_bytes(bad)
    found = outcome(lambda: keys_of_runs([copy]))
    if not isinstance(found, TgdpoError):
        record = json.loads(bad)
        passes = record.get("store", {}).get("passes", {})
        assert found == {each["key"] for each in passes.values()}
