"""What cannot be seen becomes visible."""

import pytest

from tgdpo_core.reports.visible import Piece, escaped, pieces


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\x1b", "\\x1b"),
        ("\x00", "\\x00"),
        ("\r", "\\x0d"),
        ("\u202e", "\\u202e"),  # right-to-left override
        ("\u2066", "\\u2066"),
        ("\u200b", "\\u200b"),  # zero width space
        ("\u2028", "\\u2028"),
        ("\u00a0", "\\xa0"),  # no-break space
        ("\ud800", "\\ud800"),  # a lone surrogate, which is not UTF-8
        ("\U000e0041", "\\U000e0041"),  # invisible tag letter
    ],
)
def test_invisible_characters_are_shown_as_escapes(char: str, shown: str) -> None:
    assert escaped(f"a{char}b") == f"a{shown}b"
    assert pieces(char) == [Piece(shown, "escape")]


def test_plain_text_and_its_layout_stay_as_they_are() -> None:
    text = "naïve 漢字 🎉\n\tend"
    assert escaped(text) == text


def test_white_space_of_a_token_is_shown_by_signs() -> None:
    assert pieces(" the\n\t") == [
        Piece("·", "space"),
        Piece("the"),
        Piece("⏎", "newline"),
        Piece("⇥", "space"),
    ]
