"""What goes wrong with files: bytes lost, added or flipped; JSON that says something else."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["checkpoint-2", "../..", "/etc", "\x00", "\ud800", "1", "-1", "nan"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes after one to three mishaps, or any bytes at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=64))
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([1, 2, 8, 40, 4096]))
        kind = draw(st.sampled_from(["flip", "cut", "lose", "zero", "add", "twice"]))
        if kind == "flip" and data:
            data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at:]
        elif kind == "lose":
            del data[at : at + length]
        elif kind == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == "add":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            data[at:at] = data[at : at + length]
    return bytes(data)


@st.composite
def edited(draw: st.DrawFn, document: Any) -> Any:
    """Return a JSON document with one or two values replaced, added or removed, or another one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        place = result
        while True:
            keys = list(place if isinstance(place, dict) else range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.integers(0, 3)) == 0:
                del place[key]
            else:
                place[key] = draw(JSON)
            break
    return result


def as_json(document: Any) -> bytes:
    """Return a document as a program that is not ours might write it (NaN, lone surrogates)."""
    return json.dumps(document).encode()
