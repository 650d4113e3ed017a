"""Options of a plugin are its annotated fields, checked from KEY=VALUE."""

import enum
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.options import Options, build, option


class Colour(enum.Enum):
    """Colours."""

    RED = "red"
    BLUE = "blue"


class Everything(Options):
    """One option of each type."""

    needed: str = option(help="must be given")
    count: int = option(1, help="a number")
    size: float = option(1.0, help="a number", stored=False)
    maybe: float | None = option(None, help="a number or nothing")
    flag: bool = option(False, help="yes or no")
    mode: Literal["fast", "slow"] = option("fast", help="one of two")
    names: list[str] = option((), help="several")
    letter: str = option("a", help="a or b", choices=("a", "b"))
    made: list[str] = option(default_factory=lambda: ["x"], help="several, of its own")
    numbers: tuple[int, ...] | None = option(None, help="several numbers or nothing")
    path: Path = option(Path("here"), help="a path")
    colour: Colour = option(Colour.RED, help="one of an enum")
    table: dict[str, int] = option(default_factory=dict, help="a mapping")


def made(**values: Any) -> Everything:
    return build(Everything, {"needed": "x", **values}, who="token reward 'all' (mine 1.0)")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "3", 3),
        ("size", "1e-3", 0.001),
        ("maybe", "none", None),
        ("maybe", "2", 2.0),
        ("flag", "true", True),
        ("mode", "slow", "slow"),
        ("names", '["a", "b"]', ["a", "b"]),
        ("names", "a", ["a"]),
        ("names", "a,b", ["a", "b"]),
        ("names", "a, b", ["a", "b"]),
        ("names", "", []),
        ("made", "y,z", ["y", "z"]),
        ("numbers", "1,2", (1, 2)),
        ("numbers", "[1, 2]", (1, 2)),
        ("numbers", "none", None),
        ("path", "a/b c", Path("a/b c")),
        ("colour", "blue", Colour.BLUE),
        ("table", '{"a": 1}', {"a": 1}),
        ("letter", "b", "b"),
        ("needed", "123", "123"),
    ],
)
def test_text_is_converted_to_the_annotated_type(name: str, text: str, value: Any) -> None:
    assert getattr(made(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": "3"}, "has no option 'cuont'. Did you mean 'count'"),
        ({"count": "three"}, "option count='three': .* \\(type int\\)"),
        ({"size": "nan"}, "option size='nan'"),
        ({"size": True}, "option size=True: expected a number"),
        ({"maybe": False}, "option maybe=False: expected a number"),
        ({"mode": "medium"}, "option mode='medium'.*'fast' or 'slow'"),
        ({"numbers": "1,x"}, "option numbers='1,x'"),
        ({"colour": "green"}, "option colour='green'.*'red' or 'blue'"),
        ({"letter": "c"}, "option letter='c' is not one of: a, b"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_plugins_name(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=rf"token reward 'all' \(mine 1.0\).*{message}"):
        made(**values)


def test_a_missing_option_is_named_with_its_help() -> None:
    with pytest.raises(PluginError, match=r"needs the option 'needed' \(must be given\)"):
        build(Everything, {}, who="x")


def test_options_that_act_after_the_store_are_left_out_of_its_key() -> None:
    assert "size" in made().options()
    assert "size" not in made().options(stored_only=True)


def test_a_default_that_is_made_belongs_to_one_instance() -> None:
    first, second = made(), made()
    first.made.append("y")
    assert second.made == ["x"]


def test_a_default_that_would_be_shared_is_named_with_class_and_option() -> None:
    with pytest.raises(TypeError, match=r"Shared\.names = option\(\[\].*default_factory"):
        type(
            "Shared",
            (Options,),
            {"__annotations__": {"names": list[str]}, "names": option([], help="x")},
        )


def test_all_options_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(made(colour="blue", path="a/b").options()))
    assert (found["colour"], found["path"], found["made"]) == ("blue", "a/b", ["x"])
