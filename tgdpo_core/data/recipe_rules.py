"""What a recipe says of the text of all rows, put into every pair, where all readers find it."""

from collections.abc import Sequence
from dataclasses import replace

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import RecipeError
from tgdpo_core.recipe.schema import DataSection


def as_recipe_says(pairs: Sequence[PreferencePair], data: DataSection) -> list[PreferencePair]:
    """Return pairs with the recipe's rules; a row's own variables of the template are preferred.

    Raises:
        RecipeError: variables for a chat template that no row goes through.
    """
    if data.chat_template_kwargs and not any(pair.is_chat for pair in pairs):
        raise RecipeError(
            "data.chat_template_kwargs: no effect: the rows are text, so no chat template is used."
        )
    return [
        replace(
            pair,
            template_kwargs={**data.chat_template_kwargs, **pair.template_kwargs},
            special_tokens=data.special_tokens,
            may_lose_text=data.lost_text == "count",
        )
        for pair in pairs
    ]
