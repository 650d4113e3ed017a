"""What the attention of a row needs is made with the row, and moves with it."""

from typing import Any

import pytest
import torch

from tests.core.engine.attention import models
from tgdpo_core.engine.attention.flex import Flex
from tgdpo_core.engine.attention.segments import Segments
from tgdpo_core.engine.attention.varlen import Varlen
from tgdpo_core.engine.layout import Layout
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds, share_pairs
from tgdpo_core.engine.tensors import map_tensors

META = torch.device("meta")
PAIRS = [PairIds([1, 2, 3], [4, 5], [6]), PairIds([7], [8], [9, 10])]


def tensors_of(record: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    map_tensors(record, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


@pytest.mark.parametrize(
    ("backend", "form"),
    [(Varlen("v", "", lambda *a: a[0]), "varlen"), (Flex("f", "", lambda *a: a[0]), "places")],
)
def test_nothing_is_made_when_a_prepared_row_is_bound(
    backend: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout([(3, 2, 1), (1, 1, 2)], tail=3)
    fresh = tensors_of(getattr(layout, form)(torch.device("cpu")))
    prepared = backend.prepare(layout)
    monkeypatch.setattr(Layout, f"_{form}", None)  # calling it would fail
    bound = getattr(prepared, form)(torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(bound), fresh, strict=True))
    backend.bind(prepared, torch.device("cpu"))


def test_the_forms_of_a_layout_move_with_the_row() -> None:
    layout = Layout([(3, 2, 1), (1, 1, 2)]).with_varlen().with_places()
    moved = map_tensors(layout, lambda tensor: tensor.to(META))
    assert [tensor.device for tensor in tensors_of(moved)] == [META] * 8


def test_a_row_that_moves_nowhere_keeps_what_it_has_cached() -> None:
    row = share_pairs(PAIRS)
    assert row.layout
    Segments().prepare(row.layout)
    assert row.to("cpu") is row
    assert "key_pieces" in vars(row.layout)


def test_the_engine_prepares_rows_for_its_backend() -> None:
    row = TokenLogps(models.tiny_model("llama")).row(PAIRS)
    assert row.layout
    assert "key_pieces" in vars(row.layout)
