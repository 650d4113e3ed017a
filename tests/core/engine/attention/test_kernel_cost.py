"""What a kernel path launches and compiles: one operator a layer, one graph for all rows."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.core.engine.attention import models, stand_ins
from tgdpo_core.engine.attention import choice
from tgdpo_core.engine.attention.varlen import Varlen, torch_kernel
from tgdpo_core.engine.policy import TokenLogps
from tgdpo_core.engine.rows import PairIds

# Operators that launch nothing.
_VIEWS = {
    *("view", "_unsafe_view", "transpose", "t", "expand", "slice", "split_with_sizes", "split"),
    *("unsqueeze", "squeeze", "select", "detach", "alias", "permute", "as_strided", "unbind"),
}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = torch_kernel(stand_ins.opaque)
    monkeypatch.setitem(choice.MAKERS, "varlen", lambda: Varlen("varlen", "one operator", kernel))


class Launches(TorchDispatchMode):
    """Counts operators, each about one kernel on a GPU; the inside of an operator is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return sum(number for name, number in self.count.items() if name not in _VIEWS)


def launches(engine: TokenLogps, row: Any) -> tuple[int, int]:
    with Launches() as forward, torch.autocast("cpu", dtype=torch.bfloat16):
        logps = engine(row)
    with Launches() as backward:
        logps.sum().backward()
    return forward.total, backward.total


def test_a_layer_of_a_row_of_39_pairs_costs_at_most_130_operators_each_way() -> None:
    pairs = [PairIds([1] * 9, [4] * 11, [7] * 13) for _ in range(39)]
    counts = []
    for layers in (2, 6):  # the difference is what four layers cost
        model = models.tiny_model("llama", num_hidden_layers=layers, head_dim=16)
        engine = TokenLogps(model.train(), attention="varlen", autocast=torch.bfloat16)
        assert engine.choice.attention == "varlen", engine.choice
        counts.append(launches(engine, engine.row(pairs)))
    (few, few_back), (many, many_back) = counts
    assert (many - few) / 4 <= 130
    assert (many_back - few_back) / 4 <= 130


def ragged_rows(engine: TokenLogps, number: int) -> list[Any]:
    generator = random.Random(0)

    def ids(token: int) -> list[int]:
        return [token] * generator.randint(3, 20)

    return [
        engine.row([PairIds(ids(1), ids(4), ids(7)) for _ in range(generator.randint(2, 5))])
        for _ in range(number)
    ]


# The compiler asks for it itself, and hides the warning in a way that an error defeats.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize(("attention", "whole"), [("varlen", True), ("segments", False)])
def test_compiled_layers_give_the_same_numbers_and_compile_once(attention, whole) -> None:
    """A kernel is one operator of one graph; segments stay outside, between two graphs."""
    model = models.tiny_model("llama", head_dim=16).bfloat16()
    engine = TokenLogps(model, attention=attention)
    assert engine.choice.attention == attention, engine.choice
    rows = ragged_rows(engine, 6)
    expected = [models.results(model, engine(row)) for row in rows]
    graphs = []

    def count(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    for layer in model.model.layers:
        layer.compile(backend=count, dynamic=True, fullgraph=whole)
    compiled = []
    for row, truth in zip(rows, expected, strict=True):
        found = models.results(model, engine(row))
        compiled.append(len(graphs))
        assert models.worst_error(found, truth) <= 1e-6
    # The halves around segments are compiled for the first few lengths by torch 2.11.
    assert set(compiled if whole else compiled[3:]) == {1 if whole else compiled[-1]}, compiled
    assert compiled[0] > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_layers_that_were_compiled_before_are_probed_without_compiling_for_every_layer() -> None:
    model = models.tiny_model("llama", head_dim=16, num_hidden_layers=12).bfloat16()
    graphs = []

    def count(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    for layer in model.model.layers:
        layer.compile(backend=count, dynamic=True)
    engine = TokenLogps(model, attention="varlen")
    rows = ragged_rows(engine, 3)
    engine(rows[0])
    before = len(graphs)
    assert before <= 12
    for row in rows:
        engine(row)
    assert len(graphs) == before
