"""Which of several answers to one question a comparison is about, told by the texts in its row."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tgdpo_core.exchange.judgements import Compared

TextOf = Callable[[str], str | None]
"""Takes a model, and returns its answer from elsewhere; None: it is not known."""


@dataclass(frozen=True)
class Draw:
    """Comparisons of a question that are about the same answers.

    Attributes:
        texts: the answers by model; None: not known.
        compared: what was said of them.
    """

    texts: dict[str, str | None] = field(default_factory=dict)
    compared: list[Compared] = field(default_factory=list)

    def holds(self, texts: Mapping[str, str | None]) -> bool:
        """Return whether no answer here is another one."""
        return all(self.texts.get(model, text) == text for model, text in texts.items())


def drawn_answers(
    compared: Iterable[Compared], models: Iterable[str], text_of: TextOf
) -> list[list[Draw]]:
    """Return the draws of one question, those together that are of the same models' texts.

    AlpacaEval has instructions that stand several times, each with answers of its own. A draw is a
    place in the answers of every model that it has a text of, so draws that lack the text of
    different models cannot stand side by side: they are groups of their own.

    Args:
        compared: comparisons on the question.
        models: all of the verdict; what is known of their answers is shown where they were not
            compared, too.
        text_of: answers that rows do not hold.
    """
    draws: list[Draw] = []
    for each in compared:
        texts = {name: each.texts.get(name, text_of(name)) for name in (each.model, each.other)}
        draw = next((draw for draw in draws if draw.holds(texts)), None)
        if draw is None:
            draws.append(draw := Draw())
        draw.texts.update(texts)
        draw.compared.append(each)
    groups: dict[frozenset[str], list[Draw]] = {}
    for draw in draws:
        whole = {name: draw.texts.get(name, text_of(name)) for name in models}
        known = frozenset(name for name, text in whole.items() if text is not None)
        groups.setdefault(known, []).append(Draw(whole, draw.compared))
    return list(groups.values())
