"""Secrets of this machine that no recipe may hold and no message may show.

What counts: the values of environment variables that are named like one (``..._TOKEN``,
``..._KEY``, ``..._SECRET``, ``..._PASSWORD``) or that a plugin's secret option names, the token
that ``hf auth login`` left, texts of the form of a known service's token, and passwords and keys in
URLs.
"""

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tgdpo_core.secret_values import redacted

_NAMED = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SHORTEST = 8  # characters: to take out shorter values would garble texts
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9_]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|github_pat_[A-Za-z0-9_]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16})"
)
_SECRET_IN_QUERY = re.compile(
    r"([?&](?:(?:api|access|auth|client|subscription)[_-]?)?"
    r"(?:key|token|secret|password|passwd|sig|signature)=)[^&\s'\"#]+",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")


def without_secrets(text: str) -> str:
    """Return a text with the name of each secret in its place."""
    text = redacted(text)
    for value, name in _secrets():
        text = text.replace(value, f"<{name}>")
    text = _PASSWORD_IN_URL.sub(r"\1:<password>@", text)
    text = _SECRET_IN_QUERY.sub(r"\1<secret>", text)
    return _TOKEN.sub("<token>", text)


def secret_in(value: Any, place: str = "") -> str | None:
    """Return where nested values hold a secret, and what it is; None if they hold none.

    Args:
        value: text, lists, mappings.
        place: dotted name of the value, for the answer.
    """
    return _found_in(value, place, list(_secrets()))


def _found_in(value: Any, place: str, secrets: Sequence[tuple[str, str]]) -> str | None:
    if isinstance(value, Mapping):
        parts = ((f"{place}.{key}".lstrip("."), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"{place}.{i}".lstrip("."), item) for i, item in enumerate(value))
    else:
        what = _what(value, secrets) if isinstance(value, str) else None
        return what and f"{place} holds {what}"
    return next((found for name, item in parts if (found := _found_in(item, name, secrets))), None)


def _what(text: str, secrets: Sequence[tuple[str, str]]) -> str | None:
    """Return which secret a text holds."""
    named = next((name for value, name in secrets if value in text), None)
    if named:
        return f"the secret {named}"
    if _PASSWORD_IN_URL.search(text):
        return "a URL with a password"
    return "what looks like a token" if _TOKEN.search(text) else None


def _secrets() -> Iterator[tuple[str, str]]:
    """Yield value and name of each secret that is there, the longest first."""
    found = {
        value: name
        for name, text in os.environ.items()
        if _NAMED.search(name) and not (value := text.strip()).startswith(("/", "~"))
    }
    if token := _token_of_login(_home()):
        found.setdefault(token, "of `hf auth login`")
    ordered = sorted(found.items(), key=lambda item: -len(item[0]))
    yield from (item for item in ordered if len(item[0]) >= _SHORTEST)


def _home() -> Path:
    if named := os.environ.get("HF_TOKEN_PATH"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "token"


@functools.lru_cache(maxsize=4)
def _token_of_login(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
