"""Addresses of servers as options name them; they are written down, and so hold no secret."""

from urllib.parse import urlsplit


def require_plain_address(url: str, *, example: str, kept_with: str, variable: str) -> None:
    """Raise ``ValueError`` for what is no plain address; the message does not repeat it.

    Args:
        url: the option.
        example: an address such as it must be.
        kept_with: what it is published with, for the message.
        variable: of the environment, which the key belongs into.

    Raises:
        ValueError: no address of http or https, or one with a user name, a password, a query or a
            fragment.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url must be an address such as {example}")
    held = {
        "a user name or password": parts.username or parts.password,
        "a query (what follows '?')": parts.query,
        "a fragment (what follows '#')": parts.fragment,
    }
    found = next((what for what, text in held.items() if text), None)
    if found:
        raise ValueError(
            f"url holds {found}, and is kept with {kept_with}: leave it out, such as {example}, "
            f"and set {variable} to the key if the server wants one"
        )
