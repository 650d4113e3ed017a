"""How the text of all rows is read, put into every pair, where all who lay it out find it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import RecipeError
from tgdpo_core.plugin_api.rewards import SpecialTokensInText


@dataclass(frozen=True)
class TextRules:
    """What a user says of the text of all rows; the recipe's ``data`` has the same names.

    Attributes:
        chat_template_kwargs: further variables of the chat template.
        special_tokens: what special tokens written in a row's own text are.
        lost_text: whether what a chat template leaves out makes a bad row or is only counted.
    """

    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    special_tokens: SpecialTokensInText = "auto"
    lost_text: Literal["error", "count"] = "error"


def with_rules(pairs: Sequence[PreferencePair], rules: TextRules) -> list[PreferencePair]:
    """Return pairs with the rules; a row's own variables of the template are preferred.

    Raises:
        RecipeError: variables for a chat template that no row goes through.
    """
    given = rules.chat_template_kwargs
    if given and pairs and not any(pair.is_chat for pair in pairs):
        raise RecipeError(
            "data.chat_template_kwargs: no effect: the rows are text, so no chat template is used."
        )
    return [
        replace(
            pair,
            template_kwargs={**given, **pair.template_kwargs},
            special_tokens=rules.special_tokens,
            may_lose_text=rules.lost_text == "count",
        )
        for pair in pairs
    ]
