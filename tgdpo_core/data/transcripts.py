"""Preference rows whose responses are texts without messages around them."""

from tgdpo_core.data.report import RowProblem

_HH_TURN = "\n\nAssistant:"
_HH_USER = "\n\nHuman:"
_FEWEST_WORDS = 2  # a text that begins with one word of the prompt need not repeat the prompt

TextPair = tuple[str, str, str]


def is_transcript(chosen: str, rejected: str) -> bool:
    """Return whether both texts are HH-RLHF transcripts, from the first turn on."""
    begin = chosen.lstrip().startswith("Human:") and rejected.lstrip().startswith("Human:")
    return begin and marked_boundary(chosen, rejected) is not None


def marked_boundary(chosen: str, rejected: str) -> int | None:
    """Return the place after the last assistant mark that both texts share, or None."""
    mark = chosen.rfind(_HH_TURN, 0, _num_shared(chosen, rejected))
    return mark + len(_HH_TURN) if mark >= 0 else None


def split_transcripts(chosen: str, rejected: str, *, by_words: bool) -> TextPair | None:
    """Return prompt, chosen and rejected of two whole transcripts.

    The prompt ends after the last assistant mark that both share; without one, if ``by_words``,
    where they diverge, moved back to the start of a word and never so far that a response is empty.
    None: there is no mark, and words do not count.
    """
    cut = marked_boundary(chosen, rejected)
    if cut is None and by_words:
        cut = min(_num_shared(chosen, rejected), len(chosen) - 1, len(rejected) - 1)
        while cut > 0 and not chosen[cut - 1].isspace():
            cut -= 1
    if cut is None:
        return None
    cut = max(cut, 0)
    return chosen[:cut], chosen[cut:], rejected[cut:]


def without_prompt(prompt: str, chosen: str, rejected: str) -> TextPair | None:
    """Return the pair without the prompt that both sides repeat; None if they do not.

    Raises:
        RowProblem: the sides are transcripts of another dialogue.
    """
    repeated = chosen.startswith(prompt) and rejected.startswith(prompt)
    rests = chosen[len(prompt) :], rejected[len(prompt) :]
    if repeated and len(prompt.split()) >= _FEWEST_WORDS and all(rest.strip() for rest in rests):
        return prompt, *rests
    if not is_transcript(chosen, rejected):
        return None
    parts = split_transcripts(chosen, rejected, by_words=False)
    if parts is None or prompt.strip() not in parts[0]:
        raise RowProblem(
            "mixed_formats",
            "'chosen' and 'rejected' are transcripts that do not begin with 'prompt'",
        )
    return parts


def user_speaks(response: str) -> bool:
    """Return whether a transcript's response goes on with a turn of the user."""
    return _HH_USER in response


def _num_shared(a: str, b: str) -> int:
    differs = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differs, min(len(a), len(b)))
