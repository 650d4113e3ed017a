"""P1-P6: a reward plugin raises, or returns what nobody can train on."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgdpo_core import Example
from tgdpo_core.errors import PluginError
from tgdpo_core.scoring.checks import checked_rewards

Faulty = Callable[[str], str]
Command = Callable[..., tuple[int, str]]

FAULTS = {
    # P1: exceptions
    "P1 raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "P1 own error": (
        "from tgdpo_core.errors import PluginError\nraise PluginError('no steps')",
        "failed on .*: no steps",
    ),
    "P1 exits": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "P1 no score": ("def other(self): ...", r"must implement score\(batch\)"),
    # P2: count, shape, type, device
    "P2 count": ("return [[0.0] * len(e.response_ids) for e in batch][1:]", "3 results for 4"),
    "P2 nothing": ("return None", "must return a sequence, got NoneType"),
    "P2 a batch dimension": (
        "return [[[0.0] * len(e.response_ids)] for e in batch]",
        r"got shape \[1, \d+\] for \d+ response tokens .*no batch dimension",
    ),
    "P2 a number": ("return [0.0 for e in batch]", r"got shape \[\] for"),
    "P2 text": ("return ['x' * len(e.response_ids) for e in batch]", "got str; return a list"),
    "P2 objects": (
        "return [[None] * len(e.response_ids) for e in batch]",
        "got list, whose value of response token 0 is a NoneType; return a list",
    ),
    "P2 decimals": (
        "from decimal import Decimal\n"
        "return [[0.0] + [Decimal(1)] * (len(e.response_ids) - 1) for e in batch]",
        "got list, whose value of response token 1 is a Decimal; return a list",
    ),
    "P2 beyond all numbers": (
        "return [[10**400] * len(e.response_ids) for e in batch]",
        "whose value of response token 0 is a number that no tensor holds",
    ),
    "P2 masked": (
        "import numpy as np\n"
        "ones = [np.ones(len(e.offsets)) for e in batch]\n"
        "return [np.ma.array(each, mask=each) for each in ones]",
        "a masked array, whose mask says that some tokens have no value",
    ),
    "P2 no length": (
        "odd = type('Odd', (list,), {'__len__': lambda self: 1 / 0})\n"
        "return odd([0.0] * len(e.response_ids) for e in batch)",
        r"failed on its results for .*: ZeroDivisionError",
    ),
    "P2 by name": ("return {e.uid: [0.0] for e in batch}", "must return a sequence, got dict"),
    "P2 changes its example": (
        "for e in batch:\n    object.__setattr__(e, 'response_ids', (1,))\n"
        "return [[0.5] for e in batch]",
        r"got 1 values for \d+ response tokens",
    ),
    "P2 complex": ("return [[1j] * len(e.response_ids) for e in batch]", "complex numbers"),
    "P2 device": (
        "import torch\nreturn [torch.zeros(len(e.response_ids), device='meta') for e in batch]",
        "device 'meta', which holds no numbers",
    ),
    "P2 gradient": (
        "import torch\nreturn [torch.zeros(len(e.offsets), requires_grad=True) for e in batch]",
        r"carry gradients. Score under torch.no_grad\(\)",
    ),
    # P4: another tokenizer
    "P4 off by one": (
        "return [[0.0] * (len(e.response_ids) - 1) for e in batch]",
        r"off by one: shifted log-probs, or EOS left out\?",
    ),
    "P4 other tokens": (
        "return [[0.0] * (2 * len(e.response_ids) + 5) for e in batch]",
        r"another tokenizer\? return character Spans",
    ),
    "P4 span outside": ("return [Spans([(0, 999, 1.0)]) for e in batch]", r"\(0, 999.*\d+"),
    "P4 span backwards": ("return [Spans([(2, 1, 1.0)]) for e in batch]", r"\(2, 1"),
    # P5: values on the prompt
    "P5 prompt": (
        "return [[0.0] * (len(e.prompt_ids) + len(e.response_ids)) for e in batch]",
        r"that is prompt \+ response: return the response tokens only",
    ),
    # P6: beyond float32
    "P6 huge": ("return [[1e39] * len(e.response_ids) for e in batch]", "not finite, first inf"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_plugin_distribution_and_row(
    faulty: Faulty, score: Command, fault: str
) -> None:
    body, message = FAULTS[fault]
    distribution = faulty(body)
    code, error = score()
    assert code == 4, error
    assert f"token reward 'faulty' ({distribution})" in error
    assert re.search(r"pairs\.jsonl:\d", error), error
    assert re.search(message, error, re.DOTALL), error
    assert "Traceback" not in error


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("position", ["0", "len(v) // 2", "-1"])
def test_P3_a_value_that_is_not_finite_is_found_at_any_place(
    faulty: Faulty, score: Command, value: str, position: str
) -> None:
    distribution = faulty(
        f"""
        values = [[0.5] * len(e.response_ids) for e in batch]
        v = values[2]
        v[{position}] = float("{value}")
        return values
        """
    )
    code, error = score()
    assert code == 4
    # batches are sorted by length: the third response is the chosen one of the other pair
    assert f"'faulty' ({distribution}), " in error
    assert re.search(rf"pairs\.jsonl:\d \(chosen\): 1 of \d+ values .* first {value} at", error)


def test_P3_a_span_that_is_not_finite_is_refused(faulty: Faulty, score: Command) -> None:
    faulty("return [Spans([(0, 1, float('nan'))]) for e in batch]")
    code, error = score()
    assert (code, "finite" in error) == (4, True), error


def test_P1_the_error_of_the_plugin_is_kept_as_cause() -> None:
    from tgdpo_core.scoring.guard import call_plugin

    with pytest.raises(PluginError) as raised:
        call_plugin("token reward 'x' (dist 1)", "row 3", lambda: {}["absent"])
    assert isinstance(raised.value.__cause__, KeyError)
    assert str(raised.value).startswith("token reward 'x' (dist 1) failed on row 3: KeyError")


def example(length: int) -> Example:
    return Example(
        uid="u",
        side="chosen",
        prompt="p",
        response="x" * length,
        prompt_ids=(1, 2, 3),
        response_ids=tuple(range(length)),
        offsets=tuple((i, i + 1) for i in range(length)),
    )


@given(length=st.integers(0, 12), shape=st.lists(st.integers(0, 12), max_size=3))
def test_P2_only_the_shape_of_the_response_passes(length: int, shape: list[int]) -> None:
    import torch

    result = [torch.zeros(shape)]
    if shape == [length]:
        assert checked_rewards("w", result, [example(length)], ["row"])[0].shape == (length,)
        return
    with pytest.raises(PluginError, match=f"for {length} response tokens"):
        checked_rewards("w", result, [example(length)], ["row"])


@pytest.mark.parametrize("magnitude", [1e-30, 1e-8, 1.0, 1e8, 1e30, 1e37])
@pytest.mark.parametrize("shaping", ["linear", "exponential"])
def test_P6_any_magnitude_trains_or_is_refused_and_its_scale_is_named(
    faulty: Faulty,
    train: Command,
    caplog: pytest.LogCaptureFixture,
    magnitude: float,
    shaping: str,
) -> None:
    faulty(f"return [[{magnitude!r}] * len(e.response_ids) for e in batch]")
    code, error = train("--reward-plugin", "faulty", "--shaping", shaping)
    named = (code == 4 and f"shaping '{shaping}'" in error) or (
        code == 6 and "Token weights reach" in error
    )
    assert code == 0 or named, error
    is_odd = not 1e-4 <= magnitude <= 10
    if code != 6:  # what cannot be trained is refused before its scale is
        assert (f"RMS of the token reward is {magnitude:.3g}" in caplog.text) == is_odd
