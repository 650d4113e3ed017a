"""Spans of what a response says, as spans of the text that is trained."""

from collections.abc import Sequence

from tgdpo_core import Example

Weighted = tuple[int, int, float]


def in_response(example: Example, spans: Sequence[Weighted]) -> list[Weighted]:
    """Return spans of ``example.content()`` as spans of ``example.response``.

    What truncation cut is left out, and the value of a span with it, in the share of its
    characters. The end of the content, ``(n, n)``, becomes what ends the response: closing marks
    and EOS; a truncated response has no end.
    """
    start, content = example.content()
    num_chars, end = len(example.response), len(content)
    found = []
    for a, b, value in spans:
        if a == b == end:
            if not example.is_cut:
                found.append((min(start + end, num_chars), num_chars, value))
            continue
        kept = min(start + b, num_chars) - (start + a)
        if kept > 0 or (a == b and start + a < num_chars):
            share = kept / (b - a) if b > a else 1.0
            found.append((start + a, start + a + max(kept, 0), value * share))
    return found
