"""Values from the environment that nobody may see: taken out of whatever is shown or written."""

import os
from urllib.parse import quote

_SHORTEST = 4  # characters; to take out shorter ones would garble every text
_known: dict[str, str] = {}


def secret_of(variable: str) -> str | None:
    """Return the value of an environment variable, without the space around it; None if empty.

    From then on ``redacted`` knows it.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    if len(value) >= _SHORTEST:
        for form in {value, quote(value, safe=""), repr(value)[1:-1]}:
            _known[form] = variable
    return value


def redacted(text: str) -> str:
    """Return a text with the variable's name in place of every secret that was read."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, f"<{_known[value]}>")
    return text


def holds_secret(text: str) -> bool:
    """Return whether a secret that was read stands in a text."""
    return any(value in text for value in _known)
