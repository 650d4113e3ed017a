"""Sums over steps, worked out by hand and as properties."""

import random

import numpy as np
import pytest

from tgdpo_plugins.token_rewards.step_sums import step_ends, step_sums


@pytest.mark.parametrize(
    ("text", "separator", "steps"),
    [
        ("a\nb", "\n", ["a\n", "b"]),
        ("a\n\nb\n", "\n", ["a\n\n", "b\n"]),
        ("a\nb\n\nc", "\n\n", ["a\nb\n\n", "c"]),
        ("\n\na", "\n", ["\n\na"]),
        ("a.b", ".", ["a.", "b"]),
        ("a", "\n", ["a"]),
        ("", "\n", [""]),
        ("a\nb", None, ["a\nb"]),
    ],
)
def test_a_step_keeps_the_separators_behind_it(
    text: str, separator: str | None, steps: list[str]
) -> None:
    ends = step_ends(text, separator)
    starts = [0, *ends[:-1]]
    assert [text[a:b] for a, b in zip(starts, ends, strict=True)] == steps


# "ab\ncd" and EOS in the tokens that get the sums: "a", "b\n", "cd", EOS.
ONTO = [(0, 1), (1, 3), (3, 5), (5, 5)]
# In the tokens that have the values: "ab", "\nc", "d", EOS.
OFFSETS = [(0, 2), (2, 4), (4, 5), (5, 5)]
VALUES = [1.0, 2.0, 4.0, 8.0]


def test_a_token_belongs_to_the_step_of_its_last_character() -> None:
    found = step_sums(VALUES, OFFSETS, onto=ONTO, ends=[3, 5], place="last")
    assert list(found) == [0.0, 1.0, 0.0, 14.0]


def test_spread_gives_equal_parts() -> None:
    found = step_sums(VALUES, OFFSETS, onto=ONTO, ends=[3, 5], place="spread")
    assert list(found) == [0.5, 0.5, 7.0, 7.0]


def test_a_step_without_a_token_of_its_own_joins_the_one_behind_it() -> None:
    onto = [(0, 4), (4, 5)]  # the first token goes across the end of the first step
    found = step_sums(VALUES, OFFSETS, onto=onto, ends=[3, 4, 5], place="last")
    assert list(found) == [3.0, 12.0]


def test_eos_without_a_place_belongs_to_the_last_step() -> None:
    found = step_sums([1.0, 2.0], [(0, 2), (0, 0)], onto=[(0, 2), (0, 0)], ends=[2], place="last")
    assert list(found) == [0.0, 3.0]


@pytest.mark.parametrize("place", ["spread", "last"])
def test_the_total_is_conserved(place: str) -> None:
    generator = random.Random(0)
    for _ in range(500):
        num_chars = generator.randrange(1, 40)

        def ranges(num_chars: int = num_chars) -> list[tuple[int, int]]:
            cuts = sorted(generator.choices(range(num_chars + 1), k=generator.randrange(12)))
            ends = [*cuts, num_chars]
            return list(zip([0, *cuts], ends, strict=True))

        ends = sorted({*generator.choices(range(1, num_chars + 1), k=3), num_chars})
        offsets = ranges()
        values = [generator.gauss(0, 5) for _ in offsets]
        found = step_sums(values, offsets, onto=ranges(), ends=ends, place=place)  # type: ignore[arg-type]
        assert np.isfinite(found).all()
        assert found.sum() == pytest.approx(sum(values), abs=1e-9)
