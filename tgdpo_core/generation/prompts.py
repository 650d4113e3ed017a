"""Prompts in the form that is asked for: as they stand, as a chat, with a system message."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tgdpo_core.data.pairs import PreferencePair
from tgdpo_core.errors import DataError
from tgdpo_core.generation.sampling import Sampling


def formed(prompts: Sequence[PreferencePair], sampling: Sampling) -> list[PreferencePair]:
    """Return rows whose prompts have the form that is asked for; the rows keep their order.

    Raises:
        DataError: one cannot have it.
    """
    return [_formed(each, sampling) for each in prompts]


def _formed(row: PreferencePair, sampling: Sampling) -> PreferencePair:
    prompt = row.prompt
    if isinstance(prompt, str):
        if sampling.form == "chat":
            prompt = [{"role": "user", "content": prompt}]
        elif sampling.system:
            raise DataError(
                f"{row.where}: the prompt is text, which has no place for a system message. Ask "
                "for chat, or leave the system message out."
            )
    elif sampling.form == "raw":
        raise DataError(
            f"{row.where}: the prompt is a list of messages; raw is for text. Leave raw out."
        )
    if sampling.system and not isinstance(prompt, str):
        if prompt[0].get("role") in ("system", "developer"):
            raise DataError(
                f"{row.where}: the row has a system message of its own. Leave the other one out."
            )
        prompt = [{"role": "system", "content": sampling.system}, *prompt]
    return row if prompt is row.prompt else replace(row, prompt=prompt)


def columns_of(row: PreferencePair) -> dict[str, Any]:
    """Return the columns that go along with an answer, its tools and template variables with them.

    So answers say of their prompt all that a row of a data set would.
    """
    settings = {"tools": row.tools, "chat_template_kwargs": row.template_kwargs}
    return {**row.columns, **{name: value for name, value in settings.items() if value}}
