"""Notebooks as pages: their text, their code, and what they showed when they were run."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "examples" / "notebooks"

# Page of the site -> the notebook it is.
NOTEBOOK_PAGES = {
    "notebooks/first-run.md": "first_run.ipynb",
    "notebooks/your-reward.md": "your_reward.ipynb",
}


def notebook_page(name: str) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell(cell)]
    note = (
        f"This page is the notebook `examples/notebooks/{name}`, with what it showed when it ran."
    )
    return "\n\n".join([parts[0], note, *parts[1:]]) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
        return
    yield f"```python\n{text}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    """Return what a cell showed; the richest form of it."""
    data = output.get("data", {})
    if "image/png" in data:
        content = "".join(data["image/png"]).replace("\n", "")
        label = "".join(data.get("text/plain", "figure"))
        return f'<img alt="{html.escape(label, quote=True)}" src="data:image/png;base64,{content}">'
    if "text/html" in data:
        return f"<div>{''.join(data['text/html']).strip()}</div>"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"
