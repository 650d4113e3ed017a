"""Names of models as folders: inside the parent, and no two the same."""

import pytest

from tgdpo_core.exchange.folder_names import LONGEST_NAME, folder_names


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("gpt-4-0314", "gpt-4-0314"),
        ("org/model v1.0", "org__model v1.0"),
        ("..", "_"),
        ("../../up", "_..__..__up"),
        (".hidden", "_.hidden"),
        ("", "_"),
        ("a\\b:c\n", "a_b_c_"),
        ("\ud800", "_"),
        ("größer", "größer"),
    ],
)
def test_names_stay_inside_their_folder(name: str, folder: str) -> None:
    assert folder_names([name]) == [folder]


def test_names_that_would_be_the_same_are_numbered() -> None:
    assert folder_names(["a/b", "a__b", "A__b", "a__b-2", "a/b"]) == [
        "a__b",
        "a__b-2",
        "A__b-3",
        "a__b-2-2",
        "a__b-4",
    ]


def test_long_names_fit_a_file_system_and_stay_apart() -> None:
    found = folder_names(["é" * 300, "é" * 301])
    assert len({*found}) == 2
    assert all(len(each.encode()) <= LONGEST_NAME + 2 for each in found)
