"""The steps of a response: its lines."""


def split_steps(text):
    """Yield start, end and text of every line that says something."""
    start = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            yield start, start + len(line), line.strip()
        start += len(line)
