"""What online rewards have learnt is written and read back exactly, without a pickle."""

import io
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from tgdpo_core import TokenReward
from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.live_source import LiveSource
from tgdpo_core.scoring.reward_state import copied, digest, read_states, write_states
from tgdpo_core.scoring.sources import source_of_instance
from tgdpo_core.scoring.weights import WeightedSource


def state() -> dict[str, Any]:
    head = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    head(torch.ones(3)).sum().backward()
    optimizer.step()
    return {
        "head": dict(head.state_dict()),
        "optimizer": optimizer.state_dict(),
        "rng": torch.Generator().manual_seed(3).get_state(),
        "steps": 7,
        "mean": 0.1 + 0.2,
        "worst": -math.inf,
        "names": ["a", ("b", None, True)],
        "half": torch.tensor(1.5, dtype=torch.bfloat16),
    }


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    written = state()
    write_states(tmp_path, 0, {"0:head": written})
    read = read_states(tmp_path, 0)
    assert read is not None
    found = dict(read["0:head"])
    assert digest(found) == digest(written)
    assert found["names"] == written["names"]
    assert found["optimizer"]["state"].keys() == written["optimizer"]["state"].keys() == {0, 1}
    assert found["half"].dtype == torch.bfloat16
    head = torch.nn.Linear(3, 1)
    torch.optim.Adam(head.parameters()).load_state_dict(found["optimizer"])
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_copy_shares_nothing_and_is_what_reading_would_give() -> None:
    one = state()
    two = copied(one)
    assert digest(two) == digest(one)
    one["head"]["weight"].zero_()
    one["names"].append("c")
    assert two["head"]["weight"].abs().sum() > 0
    assert two["names"] == ["a", ("b", None, True)]
    assert type(copied(OrderedDict(a=torch.nn.Parameter(torch.ones(1))))["a"]) is torch.Tensor


def ring() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["me"] = [found]
    return found


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"f": io.StringIO()}, r"state_dict\['f'\] is a StringIO; a state is made of tensors"),
        ({"a": [{1, 2}]}, r"state_dict\['a'\]\[0\] is a set"),
        ({(1, 2): 3}, "state_dict: a key is a tuple"),
        (ring(), r"state_dict\['me'\]\[0\] is the dict or list that holds it"),
    ],
)
def test_a_state_that_cannot_be_saved_is_named_with_the_reward(
    held: dict[Any, Any], said: str
) -> None:
    class Learns(TokenReward):
        """Learns what no file holds."""

        dynamic: ClassVar[bool] = True

        def state_dict(self) -> dict[Any, Any]:
            return held

        def load_state_dict(self, state: Any) -> None:
            """Nothing."""

    weighted = WeightedSource(source_of_instance(Learns()), 1.0, [])
    context: Any = object()
    with pytest.raises(PluginError, match=f"^token reward 'Learns' .* failed .*: {said}"):
        LiveSource(weighted, lambda _: context).state()


def test_another_process_has_written_nothing(tmp_path: Path) -> None:
    write_states(tmp_path, 0, {"0:head": state()})
    assert read_states(tmp_path, 1) is None


def test_a_digest_sees_every_change() -> None:
    one = {"w": torch.zeros(2), "n": 1}
    others = [
        {"w": torch.tensor([0.0, 1e-30]), "n": 1},
        {"w": torch.zeros(2), "n": 2},
        {"w": torch.zeros(1, 2), "n": 1},
        {"w": torch.zeros(2, dtype=torch.float64), "n": 1},
        {"w": torch.zeros(2), "n": 1.0},
    ]
    assert len({digest(each) for each in [one, *others]}) == 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {1, 2}}, r"state_dict\['a'\] is a set"),
        ({"a": [object()]}, r"state_dict\['a'\]\[0\] is a object"),
        ({(1, 2): 3}, "a key is a tuple"),
    ],
)
def test_what_has_no_plain_form_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        digest(value)
