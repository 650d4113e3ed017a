"""How the text of all rows is read, put into every pair, where all who lay it out find it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.plugin_api.rewards import SpecialTokensInText


@dataclass(frozen=True)
class TextRules:
    """What a user says of the text of all rows; the recipe's ``data`` has the same names.

    Attributes:
        chat_template_kwargs: further variables of the chat template.
        special_tokens: what special tokens written in a row's own text are.
        lost_text: whether what a chat template leaves out makes a bad row or is only counted.
        add_eos: ``auto``: a response ends unless its row says otherwise; ``never``: none does.
    """

    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    special_tokens: SpecialTokensInText = "auto"
    lost_text: Literal["error", "count"] = "error"
    add_eos: Literal["auto", "never"] = "auto"


def with_rules(pair: PreferencePair, rules: TextRules) -> PreferencePair:
    """Return a pair with the rules; its own variables of the template are preferred."""
    return replace(
        pair,
        template_kwargs={**rules.chat_template_kwargs, **pair.template_kwargs},
        special_tokens=rules.special_tokens,
        may_lose_text=rules.lost_text == "count",
        chosen_finished=pair.chosen_finished and rules.add_eos == "auto",
        rejected_finished=pair.rejected_finished and rules.add_eos == "auto",
    )
