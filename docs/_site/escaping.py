"""Text of the program as Markdown that shows it as it is."""


def escaped(text: str) -> str:
    """Return text for a line or a table cell; what stands between backticks stays code."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].replace("<", "&lt;").replace("*", "\\*").replace("|", "\\|")
    return "`".join(parts)
