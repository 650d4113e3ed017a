"""Every key of a foreign configuration, and what became of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tgdpo_core.recipe.loading import put_value

Outcome = Literal["converted", "default", "no meaning", "left out", "refused"]


@dataclass(frozen=True)
class Account:
    """What became of a key.

    Attributes:
        key: as the other program has it.
        value: what it was set to.
        outcome: ``converted``; ``default``: not set, but the other program's default is written
            out since ours differs; ``no meaning``: nothing here corresponds, no number changes;
            ``left out``: the user asked for it; ``refused``: leaving it out would change numbers.
        where: keys of the recipe that it became.
        note: why, or what to look at.
    """

    key: str
    value: Any
    outcome: Outcome
    where: str = ""
    note: str = ""


@dataclass
class Conversion:
    """A recipe in the making.

    Attributes:
        program: the other program's name.
        given: the keys of its configuration.
        recipe: what they have become so far.
        accounts: one for each key.
        checks: what a person has to look at, since no program can.
    """

    program: str
    given: Mapping[str, Any]
    recipe: dict[str, Any] = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    def put(self, key: str, place: str, value: Any, note: str = "") -> None:
        """Set a key of the recipe, and note where it came from."""
        put_value(self.recipe, place, value)
        is_given = key in self.given
        outcome: Outcome = "converted" if is_given else "default"
        shown = self.given[key] if is_given else value
        self.accounts.append(Account(key, shown, outcome, place, note))

    def note(self, key: str, why: str) -> None:
        """Note a key that has no meaning here."""
        self.accounts.append(Account(key, self.given[key], "no meaning", note=why))

    def refuse(self, key: str, why: str) -> None:
        """Note a key that cannot be left out."""
        self.accounts.append(Account(key, self.given.get(key), "refused", note=why))

    @property
    def refused(self) -> list[Account]:
        """The keys that stand in the way."""
        return [each for each in self.accounts if each.outcome == "refused"]


Rule = Callable[[Conversion, str, Any], None]
"""Takes the conversion, a key and its value; accounts for the key."""


def to(place: str, read: Callable[[Any], Any] | None = None, note: str = "") -> Rule:
    """Return the rule of a key that has a place in a recipe.

    Args:
        place: dotted.
        read: turns its value into ours.
        note: for the account.
    """

    def rule(made: Conversion, key: str, value: Any) -> None:
        made.put(key, place, read(value) if read else value, note)

    return rule


def unused(why: str) -> Rule:
    """Return the rule of a key that changes no number."""

    def rule(made: Conversion, key: str, value: Any) -> None:
        made.note(key, why)

    return rule


def only(harmless: Sequence[Any], why: str) -> Rule:
    """Return the rule of a key that asks for nothing with some values, and is refused with others.

    Args:
        harmless: values that change nothing.
        why: what the others would do.
    """

    def rule(made: Conversion, key: str, value: Any) -> None:
        if value in harmless:
            made.note(key, "asks for nothing")
        else:
            made.refuse(key, why)

    return rule


def choice(place: str, names: Mapping[Any, Any], why: str) -> Rule:
    """Return the rule of a key whose values have other names here; others are refused."""

    def rule(made: Conversion, key: str, value: Any) -> None:
        if isinstance(value, str | bool | int | type(None)) and value in names:
            made.put(key, place, names[value])
        else:
            made.refuse(key, why)

    return rule


def rules(rule: Rule, names: str) -> dict[str, Rule]:
    """Return one rule for several keys, their names separated by blanks."""
    return dict.fromkeys(names.split(), rule)
