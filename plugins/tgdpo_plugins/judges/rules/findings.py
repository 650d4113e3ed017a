"""What a check finds: whether a text follows an instruction, and the characters that break it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tgdpo_plugins.judges.rules.parts import Span

Relation = Literal["less than", "at least", "at most", "more than", "exactly"]
RELATIONS = ("less than", "at least", "at most", "more than", "exactly")


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        followed: whether the instruction is.
        spans: the characters that break it; ``(n, n)``, n the length of the text, where something
            is missing: the text should not have ended. Empty where it is followed.
    """

    followed: bool
    spans: tuple[Span, ...] = ()


FOLLOWED = Finding(True)


def broken(*spans: Span) -> Finding:
    """Return the finding of a broken instruction."""
    return Finding(False, spans)


def missing(text: str) -> Finding:
    """Return the finding of a text that ended too early."""
    return broken((len(text), len(text)))


def counted(parts: Sequence[Span], relation: str, number: int, text: str) -> Finding:
    """Return whether as many parts are there as asked for: what is too much breaks it.

    Raises:
        ValueError: an unknown relation.
    """
    most = {"less than": number - 1, "at most": number, "exactly": number}.get(relation)
    least = {"at least": number, "more than": number + 1, "exactly": number}.get(relation, 0)
    if relation not in RELATIONS:
        raise ValueError(f"the relation {relation!r} is not one of: {', '.join(RELATIONS)}")
    if most is not None and len(parts) > most:
        surplus = parts[max(0, most) :]
        return broken(*surplus) if surplus else broken((0, len(text)))
    return missing(text) if len(parts) < least else FOLLOWED


def has_or_missing(found: bool, text: str) -> Finding:
    """Return the finding of something that must be there."""
    return FOLLOWED if found else missing(text)
